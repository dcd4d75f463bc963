"""``nerfkit export``: the model of a run as a file for other tools."""

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
    """Run folder, as `nerfkit train` leaves it."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File to write; by default exports/splats.ply in the run folder."""
    format: Literal["ply"] = "ply"
    """ply: Gaussian splats in the layout of Kerbl et al. 2023, which every splat tool reads."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.contracts import HasGaussians
    from nerfkit.errors import NerfkitError
    from nerfkit.splats import ply
    from nerfkit.splats.transform import transform
    from nerfkit.train.run import Run

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
