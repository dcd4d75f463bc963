"""``nerfkit export``: the model of a run, or the cameras of a scene, as files for other tools, or as a web page."""

from __future__ import annotations

import functools
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from nerfkit.cli.refuse import refuse
from nerfkit.files import is_page
from nerfkit.splats.options import PageOptions

if TYPE_CHECKING:
    from torch import Tensor

    from nerfkit.cli.console import Console
    from nerfkit.contracts import Gaussians, SceneModel
    from nerfkit.data.scene import Scene
    from nerfkit.data.similarity import Similarity
    from nerfkit.errors import NerfkitError
    from nerfkit.splats.judge import Judge
    from nerfkit.splats.upright import Up

_SPLATS = ("ply", "compressed.ply", "splat", "spz", "sog", "glb")
_MOST_GUIDES = 32  # training views that say what each Gaussian does


@dataclass(frozen=True, kw_only=True)
class Options(PageOptions):
    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    """Run folder, as `nerfkit train` leaves it; for cameras also a scene with poses, in any format nerfkit reads.
    Several runs become a gallery of web pages."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """File to write, by default exports/splats.FORMAT in the run folder; for cameras a new folder, by default
    SCENE_FORMAT; for several runs the gallery's folder."""
    format: Literal[
        "ply", "compressed.ply", "splat", "spz", "sog", "glb", "html",
        "colmap", "colmap-text", "nerfstudio", "instant-ngp", "blender", "llff",
    ] | None = None  # fmt: skip
    """Splats: ply (the layout of Kerbl et al. 2023, which every splat tool reads; the default, where --out doesn't say
    otherwise), compressed.ply and sog (PlayCanvas), splat (antimatter15), spz (Niantic), glb (glTF with
    KHR_gaussian_splatting, +Y up). html: one file with a viewer inside, for any browser. All others are cameras,
    points and photos: colmap (binary) and colmap-text, nerfstudio and instant-ngp (transforms.json), blender
    (undistorted, one angle of view) and llff (undistorted, poses_bounds.npy)."""
    antialiased: bool = False
    """Keep the opacities of a run that was trained with --gaussians.antialiased, and say in the file what they are
    (ply, compressed.ply, spz, sog): right at any distance in viewers that know it. By default they become such as look
    right from about where the photos were taken in any viewer; html pages always keep them."""
    rigs: bool = True
    """For colmap: with rigs and frames, which COLMAP has since 3.12; --no-rigs leaves them out for older readers."""
    images: Path | None = None
    """For cameras: folder of the photos, where they are not where the scene says."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.errors import NerfkitError

    if not options.runs:
        raise NerfkitError("nerfkit export: give the folder of a run, as nerfkit train leaves it")
    if len(options.runs) > 1:
        from nerfkit.cli.run_page import gallery

        return gallery(options, console)
    (path,) = options.runs
    if options.format is not None and options.format not in (*_SPLATS, "html"):
        return _cameras(path, options, options.format, console)
    options.check()
    if options.format == "html" or (options.format is None and options.out and is_page(options.out)):
        return _page(path, options, console)
    return _splats(path, options, console)


def _splats(path: Path, options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.cli.splat_file import save
    from nerfkit.errors import NerfkitError
    from nerfkit.splats import edit, formats
    from nerfkit.splats.coverage import plain
    from nerfkit.splats.stream import changed, stream
    from nerfkit.splats.transform import transform
    from nerfkit.train import report
    from nerfkit.train.run import Run

    source = Run.open(path)
    out = options.out or source.exports / f"splats.{options.format or 'ply'}"
    suffix = formats.check_written(out)
    if options.format is not None and suffix != f".{options.format}":
        raise NerfkitError(f"{out}: a {options.format} file needs the suffix .{options.format}")
    scene = source.scene()
    model = source.model(scene=scene)
    gaussians = gaussians_of(model, path)
    if options.antialiased and not gaussians.antialiased:
        console.warn(f"{path}: --antialiased: it was trained with --gaussians.no-antialiased, so its file won't say so")
    if not options.antialiased:
        gaussians = plain(gaussians, [scene.views[index].camera for index in scene.train])
    options, world, written = options.near(scene.scene_from_world.inverse())
    world_from_scene = world.out_from_scene
    moved = edit.similarity(options.rotate, options.translate, options.scale).compose(world_from_scene)

    def judge(kept: Gaussians) -> Judge:
        return judge_of(model, scene, moved, kept)

    splats = changed(stream(gaussians), lambda g: transform(g, world_from_scene))
    result = save(out, splats, options, up_of(scene), judge, console)
    written.tell(out)
    report.refresh(source, [out])
    return result | {"world_offset": written.to_json()}


def up_of(scene: Scene) -> Up | None:
    """Which axis of the cameras' world is up, by the scene frame's +Z; None: it is far from those that files can say.

    That world is as the poses had it: nerfkit's own have +Z up, COLMAP's often -Y.
    """
    from nerfkit.splats import upright

    return upright.nearest(scene.scene_from_world.inverse().rotation[:, 2])


def _page(path: Path, options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.cli.run_page import write
    from nerfkit.train import report
    from nerfkit.train.run import Run

    source = Run.open(path)
    out = options.out or source.exports / "splats.html"
    result = write(path, out, options, options.title or source.title, console)[0]
    report.refresh(source, [out])
    return result


def gaussians_of(model: SceneModel, path: Path) -> Gaussians:
    """Raises NerfkitError: the model of the run at that path has none."""
    from nerfkit.contracts import HasGaussians

    if not isinstance(model, HasGaussians):
        raise no_gaussians(path, model.name)
    return model.gaussians()


def no_gaussians(path: Path, model: str) -> NerfkitError:
    """What is wrong with the run at that path, of a kind of model without Gaussians."""
    from nerfkit.errors import NerfkitError

    return NerfkitError(
        f"{path}: a {model} model has no Gaussians to export; "
        "write a mesh with `nerfkit mesh`, or train with `--model gaussians`"
    )


def judge_of(model: SceneModel, scene: Scene, out_from_scene: Similarity, kept: Gaussians) -> Judge:
    """The held-out photos of a run, or all where none are held out.

    What is kept, drawn, where photos are missing, or show what the model is not to know: exposures of their own, and
    what passed by. That would outweigh what a smaller file loses.
    """
    from dataclasses import replace

    from nerfkit.errors import NerfkitError
    from nerfkit.splats.judge import NEAR, Judge, moved
    from nerfkit.train.device import choose
    from nerfkit.train.evaluate import ground_truth, judged

    core = choose("cpu")[1]
    views = [scene.views[index] for index in (scene.held_out or scene.train)]
    seen = scene.train[:: max(1, len(scene.train) // _MOST_GUIDES)]
    guides = [moved(scene.views[index].camera, out_from_scene) for index in seen]
    cameras = [moved(view.camera, out_from_scene) for view in views]
    background, near = background_of(model), NEAR * out_from_scene.scale
    renders = functools.partial(Judge.of_renders, core, kept, cameras, background, near)
    try:
        photos = [ground_truth(model, view) for view in views]
        differ = getattr(model, "exposures", None) is not None or any(judged(model, v) is not None for v in views)
    except NerfkitError:  # the photos have moved away
        differ = True
    if differ:
        return replace(renders(), guides=guides)
    return Judge(core, cameras, photos, background, guides, near)


def background_of(model: SceneModel) -> Tensor:
    """The colour [3] that a model was trained before: black where it doesn't say."""
    import torch

    background = getattr(model, "background", None)
    return torch.zeros(3) if background is None else background.detach().cpu().float()


def _cameras(path: Path, options: Options, kind: str, console: Console) -> dict[str, Any]:
    from nerfkit.poses.export import export
    from nerfkit.poses.export_source import scene_of

    of_pages = [option.name for option in fields(PageOptions)]
    refuse(options, of_pages, f"is for splats and pages, and --format {kind} writes cameras")
    refuse(options, ["antialiased"], f"is for splats, and --format {kind} writes cameras")
    scene = scene_of(path, options.images)
    place = path.resolve()
    out = options.out or place.with_name(f"{place.stem}_{kind}")
    files = export(scene, out, kind, rigs=options.rigs, progress=console.progress)
    console.say(f"[bold]{out}[/]: {len(scene.views)} cameras, {len(scene.points):,} points for {kind}")
    return {
        "format": kind,
        "cameras": len(scene.views),
        "points": len(scene.points),
        "bytes": sum(file.stat().st_size for file in files),
        "files": [str(file) for file in files],
    }
