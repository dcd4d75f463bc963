"""``nerfkit run``: photos or a video to splats, web page, video, mesh and report, in one run folder."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from nerfkit.errors import NerfkitError
from nerfkit.limits import Count, Faces, Frames, Seed

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.train.run import Run


@dataclass
class Options:
    photos: tyro.conf.Positional[Path]
    """A folder of photos and videos, one video, or a scene that has poses."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Run folder (default: runs/SCENE/MODEL). The same command goes on where an earlier one stopped."""
    model: str = "gaussians"
    """The scene model to fit."""
    frames: Frames | None = None
    """Of a video, or of each: about how many of its frames become photos (default: 40 to 300, by how far the picture
    moves)."""
    steps: Count | None = None
    """Length of the training in steps."""
    budget: str | None = None
    """Length of the training in time, such as 60s or 3min (default without --steps: 3min). Video, mesh and
    the rest take some minutes more."""
    downscale: Count | None = None
    """Shrink the photos by this factor (default: the longer side becomes at most 1600 pixels)."""
    seed: Seed = 0
    """Seed of everything random."""
    geometry: bool = True
    """Trains for the surface too, for the mesh's sake, where the model can: a third slower, 0.2 dB less."""
    faces: Faces | None = None
    """Faces of the mesh (default: that of `nerfkit mesh`)."""
    engine: Literal["unity", "unreal", "godot", "blender"] | None = None
    """Who will load the mesh (see `nerfkit mesh`)."""
    viewer: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show the training live in the browser (see nerfkit train)."""
    device: str = "auto"
    """Where to run: auto, cpu, cuda or cuda:N (see nerfkit train)."""
    backend: str = "auto"
    """Render core: auto, nerfkit, gsplat, tcnn or reference (see nerfkit doctor)."""


def run(options: Options, console: Console) -> dict[str, Any]:
    out = _train(options, console)
    result: dict[str, Any] = {"run": str(out), "metrics": json.loads((out / "metrics.json").read_text())}
    for name, stage in (("render", _render), ("mesh", _mesh), ("export", _export), ("page", _page)):
        result[name] = _once(out, name, options, stage, console)
    _tell(out, result, console)
    return result


def _once(out: Path, name: str, options: Options, stage: Any, console: Console) -> dict[str, Any]:
    """A stage after training, unless its files are there, newer than the model, and made with the same options."""
    from nerfkit.files import write_text

    asked = {"faces": options.faces, "engine": options.engine}
    record = out / ".stages" / f"{name}.json"
    if record.is_file() and record.stat().st_mtime >= (out / "metrics.json").stat().st_mtime:
        kept: dict[str, Any] = json.loads(record.read_text())
        files = [out / file for file in kept["result"]["files"]]
        if kept.get("asked") == asked and all(file.exists() for file in files):
            done: dict[str, Any] = kept["result"] | {"files": [str(file) for file in files]}
            return done
    done = stage(options, out, console)
    inside = [os.path.relpath(file, out) for file in done["files"]]  # the run may be moved or copied
    write_text(record, json.dumps({"asked": asked, "result": done | {"files": inside}}, default=str))
    return done


def _train(options: Options, console: Console) -> Path:
    from nerfkit.cli import train

    length = {"steps": options.steps, "budget": options.budget}
    if options.steps is None and options.budget is None:
        length["budget"] = "3min"
    asked = train.Options(
        scene=options.photos, out=options.out, model=options.model, downscale=options.downscale, seed=options.seed,
        device=options.device, backend=options.backend, frames=options.frames, viewer=options.viewer,
        **length,
    )  # fmt: skip
    own: Any = getattr(asked, options.model, None)
    if hasattr(own, "geometry"):
        own.geometry = options.geometry
    out = train.run_folder(asked)
    if (out / "config.toml").is_file():
        from nerfkit.train.run import Run

        known = Run.open(out)
        _check_same(known, options)
        if known.finished and not _asks_for_more(known, options):
            train.warn_of_new_poses(known, console)
            console.say(f"{out} is trained already")
            return out
        asked.resume = True
        if options.steps is None and options.budget is None:
            asked.steps = asked.budget = None  # as long as it was to be
    train.run(asked, console, "the same command")
    return out


def _asks_for_more(known: Run, options: Options) -> bool:
    """Whether another length is asked for, and the run hasn't had as much."""
    from nerfkit.train.clock import Clock
    from nerfkit.train.config import parse_duration

    if (options.steps, options.budget) in ((None, None), (known.config.steps, known.config.budget)):
        return False
    metrics = json.loads(known.metrics.read_text())
    budget = None if options.budget is None else parse_duration(options.budget)
    return not Clock(options.steps, budget, metrics["steps"], metrics["seconds"]).done


def _check_same(known: Run, options: Options) -> None:
    from nerfkit.cli.train import same_frames, same_scene

    same_scene(options.photos, known)
    same_frames(options.photos, options.frames, known)
    for name in ("model", "downscale", "seed"):
        given, kept = getattr(options, name), getattr(known.config, name)
        if given != kept:
            raise NerfkitError(f"{known.path}: holds a run with --{name} {kept}, not {given}; choose another --out")
    kept = getattr(known.config.model_options, "geometry", options.geometry)
    if kept != options.geometry:
        word = "geometry" if kept else "no-geometry"
        raise NerfkitError(f"{known.path}: holds a run with --{word}; add it, or choose another --out")


def _render(options: Options, out: Path, console: Console) -> dict[str, Any]:
    from nerfkit.cli import render

    return render.run(render.Options(run=out, device=options.device, backend=options.backend), console)


def _mesh(options: Options, out: Path, console: Console) -> dict[str, Any]:
    from nerfkit.cli import mesh

    asked = mesh.Options(run=out, device=options.device, backend=options.backend, engine=options.engine)
    if options.faces is not None:
        asked = replace(asked, faces=options.faces)
    return mesh.run(asked, console)


def _export(options: Options, out: Path, console: Console) -> dict[str, Any]:
    """Splats, of a model that has any."""
    from nerfkit.cli import export

    return export.run(export.Options(runs=(out,)), console) if _has_gaussians(options) else {"files": []}


def _page(options: Options, out: Path, console: Console) -> dict[str, Any]:
    """The splats as a page to look around in, where nothing else is at hand to open them with."""
    from nerfkit.cli import export

    if not _has_gaussians(options):
        return {"files": []}
    return export.run(export.Options(runs=(out,), format="html"), console)


def _has_gaussians(options: Options) -> bool:
    from nerfkit import models
    from nerfkit.contracts import HasGaussians

    return models.offers(options.model, HasGaussians)


def _tell(out: Path, result: dict[str, Any], console: Console) -> None:
    from nerfkit.cli.train import scores_in_words

    scores = result["metrics"]["eval"]
    if scores["views"]:
        console.say(f"held-out photos: {scores_in_words(scores)}")
    files = [file for stage in ("render", "mesh", "export", "page") for file in result[stage]["files"]]
    for file in [*files, out / "report.html"]:
        size = Path(file).stat().st_size / 1e6 if Path(file).is_file() else 0
        console.say(f"  {file}  [dim]{size:.1f} MB[/]")
