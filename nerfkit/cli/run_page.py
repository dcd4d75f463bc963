"""Web pages of runs: one of a run, and a gallery of several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.cli.export import Options
    from nerfkit.contracts import Gaussians
    from nerfkit.splats.judge import Judge
    from nerfkit.webpage.scene import ScenePage


def write(path: Path, out: Path, options: Options, title: str, console: Console) -> tuple[dict[str, Any], ScenePage]:
    """Writes the page of a run. It starts where the orbit of its photos does, in the scene frame: upright.

    Raises:
        NerfkitError: no run, or one whose model has no Gaussians.
    """
    from dataclasses import replace

    import torch

    from nerfkit.cli import splat_page
    from nerfkit.cli.export import background_of, gaussians_of, judge_of
    from nerfkit.cli.splat_file import edited
    from nerfkit.data.similarity import Similarity
    from nerfkit.splats import edit
    from nerfkit.splats.judge import NEAR
    from nerfkit.splats.page import KEYFRAMES, Shown
    from nerfkit.splats.stream import load, stream
    from nerfkit.splats.transform import transform
    from nerfkit.train.run import Run
    from nerfkit.views.paths.around import orbit

    splat_page.check_written(out)
    source = Run.open(path)
    scene = source.scene()
    model = source.model(scene=scene)
    # Edits are in the coordinates of the cameras' world. Whoever asks for none keeps the precision of the scene frame:
    # a world of geographic coordinates has none left for splats.
    in_world = options.moves() or options.crop_box is not None or options.crop_sphere is not None
    options, near, _ = options.near(scene.scene_from_world.inverse())
    world = near.out_from_scene if in_world else Similarity.identity()
    moved = edit.similarity(options.rotate, options.translate, options.scale)
    left, taken = edited(stream(transform(gaussians_of(model, path), world)), options, console)
    kept = load(left)
    shown_from_scene = world.inverse().compose(moved).compose(world)
    around = orbit(scene, KEYFRAMES)
    shown = Shown(
        replace(around, world_from_cam=shown_from_scene.poses(around.world_from_cam)),
        shown_from_scene.points(torch.zeros(3)),
        background_of(model),
        "z",
        NEAR * shown_from_scene.scale,
    )

    def judge(kept: Gaussians) -> Judge:
        return judge_of(model, scene, shown_from_scene, kept)

    result, page = splat_page.write(out, transform(kept, world.inverse()), options, shown, judge, title, console)
    return result | {"left_out": taken}, page


def gallery(options: Options, console: Console) -> dict[str, Any]:
    """Writes a page for each of the runs, and one that leads to them, into the folder ``--out``.

    Raises:
        NerfkitError: no folder given, one that holds other pages, or what :func:`write` raises.
    """
    from nerfkit import models
    from nerfkit.cli.export import no_gaussians
    from nerfkit.contracts import HasGaussians
    from nerfkit.errors import NerfkitError
    from nerfkit.files import write_text
    from nerfkit.train.run import Run
    from nerfkit.webpage import gallery as pages

    if options.format not in (None, "html"):
        raise NerfkitError(f"--format {options.format}: is for one run; several become a gallery of pages (html)")
    if options.out is None:
        raise NerfkitError("several runs become a gallery: give its folder with --out")
    options.check()
    runs = [Run.open(path) for path in options.runs]
    for path, run in zip(options.runs, runs):
        if not models.offers(run.config.model, HasGaussians):
            raise no_gaussians(path, run.config.model)
    titles = [run.title for run in runs]
    files = pages.file_names(titles)
    pages.check_free(options.out, files)
    entries, results = [], []
    for path, title, file in zip(options.runs, titles, files):
        result, page = write(path, options.out / file, options, title, console)
        words = f"{result['gaussians']:,} Gaussians, {result['bytes'] / 1e6:.1f} MB"
        entries.append(pages.Entry(file, title, words, page.still))
        results.append(result)
    index = options.out / pages.INDEX
    write_text(index, pages.page(options.title or options.out.resolve().name, entries))
    console.say(f"[bold]{index}[/]: {len(entries)} scenes")
    return {"format": "html", "scenes": results, "files": [str(index), *(name for r in results for name in r["files"])]}
