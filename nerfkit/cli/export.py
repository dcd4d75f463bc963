"""``nerfkit export``: the model of a run, or the cameras of a scene, as files for other tools."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

if TYPE_CHECKING:
    from nerfkit.cli.console import Console


@dataclass(frozen=True, kw_only=True)
class Options:
    run: tyro.conf.Positional[Path]
    """Run folder, as `nerfkit train` leaves it; for cameras also a scene with poses, in any format nerfkit reads."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File to write, by default exports/splats.ply in the run folder; for cameras a new folder, by default
    SCENE_FORMAT."""
    format: Literal["ply", "colmap", "colmap-text", "nerfstudio", "instant-ngp", "blender", "llff"] = "ply"
    """ply: Gaussian splats in the layout of Kerbl et al. 2023, which every splat tool reads. All others are cameras,
    points and photos: colmap (binary) and colmap-text, nerfstudio and instant-ngp (transforms.json), blender
    (undistorted, one angle of view) and llff (undistorted, poses_bounds.npy)."""
    rigs: bool = True
    """For colmap: with rigs and frames, which COLMAP has since 3.12; --no-rigs leaves them out for older readers."""
    images: Path | None = None
    """For cameras: folder of the photos, where they are not where the scene says."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.contracts import HasGaussians
    from nerfkit.errors import NerfkitError
    from nerfkit.splats import ply
    from nerfkit.splats.transform import transform
    from nerfkit.train.run import Run

    if options.format != "ply":
        return _cameras(options, console)
    source = Run.open(options.run)
    out = options.out or source.exports / "splats.ply"
    if out.suffix.lower() != f".{options.format}":
        raise NerfkitError(f"{out}: a {options.format} file needs the suffix .{options.format}")
    scene = source.scene()
    model = source.model(scene=scene)
    if not isinstance(model, HasGaussians):
        raise NerfkitError(
            f"{options.run}: a {model.name} model has no Gaussians to export; "
            "write a mesh with `nerfkit mesh`, or train with `--model gaussians`"
        )
    gaussians = transform(model.gaussians(), scene.scene_from_world.inverse())
    ply.write(out, gaussians)
    size = out.stat().st_size
    console.say(f"[bold]{out}[/]: {len(gaussians):,} Gaussians, {size / 1e6:.1f} MB")
    return {
        "format": options.format,
        "gaussians": len(gaussians),
        "bytes": size,
        "files": [str(out)],
    }


def _cameras(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.poses.export import export
    from nerfkit.poses.export_source import scene_of

    scene = scene_of(options.run, options.images)
    place = options.run.resolve()
    out = options.out or place.with_name(f"{place.stem}_{options.format}")
    files = export(scene, out, options.format, rigs=options.rigs, progress=console.progress)
    console.say(f"[bold]{out}[/]: {len(scene.views)} cameras, {len(scene.points):,} points for {options.format}")
    return {
        "format": options.format,
        "cameras": len(scene.views),
        "points": len(scene.points),
        "bytes": sum(file.stat().st_size for file in files),
        "files": [str(file) for file in files],
    }
