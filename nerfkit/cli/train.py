"""``nerfkit train``: fits a scene model to posed photos."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nerfkit import models
from nerfkit.cli.train_bar import TrainBar
from nerfkit.errors import NerfkitError
from nerfkit.limits import Frames, Port
from nerfkit.models.options import ModelOptions
from nerfkit.train.config import TrainConfig, differing

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.train.monitor import Status, TrainMonitor
    from nerfkit.train.observer import TrainObserver
    from nerfkit.train.run import Run

_EXPOSED = 1.0  # dB that renders gain by their photos' exposure, where that is worth a word


@dataclass
class TrainOptions(TrainConfig):
    scene: tyro.conf.Positional[Path]
    """A scene with poses (COLMAP, transforms.json, Blender, LLFF), or a folder of photos or videos or one video, whose
    poses are found first. With --resume also the run's own folder."""
    frames: Frames | None = None
    """Of a video, or of each: about how many of its frames become photos (default: 40 to 300, by how far the picture
    moves)."""
    model_options: tyro.conf.Suppress[Any] = None
    """Comes from the options of the chosen model below."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Run folder (default: runs/SCENE/MODEL)."""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """Go on with the run in --out from its newest checkpoint."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the run in --out; poses made from its photos are kept."""
    viewer: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show the training live in the browser, where it can be held, and ended early."""
    host: str | None = None
    """With --viewer: address of this machine to be reached at from others (see nerfkit view)."""
    port: Port | None = None
    """With --viewer: port to listen at (default: the first free one from 7007 on)."""

    def __post_init__(self) -> None:
        """Leaves the model's options to :func:`config_of`."""


# Every model's own options, as --MODEL.option: a model in MODELS brings its own.
Options = make_dataclass(
    "Options",
    [
        (name, models.config_class(name), field(default_factory=models.config_class(name), kw_only=True))
        for name in models.MODELS
    ],
    bases=(TrainOptions,),
)


def run(options: TrainOptions, console: Console, again: str | None = None) -> dict[str, Any]:
    """Args: again: what goes on with it after an interruption, where that isn't nerfkit train."""
    import json

    from nerfkit.train.device import check
    from nerfkit.train.fit import fit
    from nerfkit.train.run import Run

    if options.resume and options.overwrite:
        raise NerfkitError("--resume goes on with a run, and --overwrite replaces it; give one of them")
    out = run_folder(options)
    known = Run.open(out) if options.resume else None
    if known is not None and options.model == TrainConfig.model:  # not given
        options.model = known.config.model
    config = config_of(options)
    config.check()
    check_viewer(options)
    if known is not None:
        same_scene(config.scene, known)
        same_frames(config.scene, options.frames, known)
        warn_of_new_poses(known, console)
    else:
        Run.check_free(out, overwrite=options.overwrite)
        check(config.device, config.backend)  # before minutes go into poses
        config.scene = posed(config.scene, config.images, out, console, options.frames)
    try:
        with TrainBar(console) as bar, watched(options, bar, console) as (monitor, observer):
            done = fit(
                out, config, resume=options.resume, overwrite=options.overwrite, monitor=monitor,
                progress=bar.progress, observer=observer,
            )  # fmt: skip
    except KeyboardInterrupt:
        if (out / "config.toml").is_file():
            console.warn(f"stopped; go on with: {again or f'nerfkit train {options.scene} --out {out} --resume'}")
        raise
    metrics: dict[str, Any] = json.loads(done.metrics.read_text())
    console.say(summary(out, metrics))
    if known is None:
        say_of_import(out, config.scene, console)
    return {"run": str(out), **metrics}


def say_of_import(run: Path, scene: Path, console: Console) -> None:
    """Where a scene has cameras alone, nothing has compared them with its photos."""
    import json

    data = json.loads((run / "scene.json").read_text())
    if data["points_are_random"] and not data["has_alpha"]:
        console.say(
            f"{scene} has no points, and its poses are taken as they are: nerfkit poses --import {scene} finds points "
            "and adjusts poses that the photos contradict"
        )


def check_viewer(options: TrainOptions) -> None:
    """Raises NerfkitError: --host or --port without --viewer, or the viewer's package is missing."""
    if options.viewer:
        from nerfkit.viewer.requirements import require_viser

        require_viser()
    elif options.host is not None or options.port is not None:
        raise NerfkitError("--host and --port are those of the viewer; add --viewer, or leave them out")


@contextmanager
def watched(options: TrainOptions, bar: TrainBar, console: Console) -> Iterator[tuple[TrainMonitor, TrainObserver]]:
    """Who is told of the run's progress, and who looks at it; with --viewer, the page too."""
    from nerfkit.train.observer import absent

    if not options.viewer:
        yield bar, absent
        return
    from nerfkit.cli.view import announce
    from nerfkit.viewer.live import LiveViewer

    with LiveViewer(options.host, options.port, lambda viewer: announce(viewer, console)) as live:

        def both(status: Status) -> None:
            bar(status)
            live(status)

        yield both, live
    console.say(f"the live view has ended; look again with: nerfkit view {run_folder(options)}")


def config_of(options: TrainOptions) -> TrainConfig:
    """The run's config, with the options of the chosen model.

    Raises:
        NerfkitError: there is no such model, or options of another one are given.
    """
    models.config_class(options.model)  # names the models there are, should this be none
    others = {item.name: getattr(options, item.name) for item in fields(options) if item.name != options.model}
    for name, given in others.items():
        if isinstance(given, ModelOptions) and (strange := differing(given, type(given)())):
            option = next(iter(strange)).replace("_", "-")
            raise NerfkitError(
                f"--{name}.{option}: is for --model {name}, and this is --model {options.model}; leave it out, or "
                "choose that model"
            )
    values = {item.name: getattr(options, item.name) for item in fields(TrainConfig)}
    return TrainConfig(**values | {"model_options": getattr(options, options.model)})


def run_folder(options: TrainOptions) -> Path:
    from nerfkit.capture.video import is_video

    if options.out is not None:
        return options.out
    if options.resume and (options.scene / "config.toml").is_file():
        return options.scene
    place = options.scene.resolve()
    if is_video(place):
        place = place.with_suffix("")
    elif place.suffix in (".json", ".npy", ".out", ".csv", ".xml") or place.name in ("images", "photos", "input"):
        place = place.parent  # the folder around them has the scene's name
    return Path("runs") / place.name / options.model


def same_scene(given: Path, run: Run) -> None:
    """Raises NerfkitError: a run of another scene would be resumed by mistake."""
    from nerfkit.poses.claim import photos_of

    place, known = given.resolve(), run.origin.resolve()
    if place in (known, run.path.resolve()):
        return
    if known.is_relative_to(run.path.resolve()):  # poses made for this run
        photos = photos_of(known)
        if photos is None or photos.is_relative_to(place):
            return
        known = photos
    raise NerfkitError(f"{run.path}: is a run of {known}, not of {given}; choose another --out")


def same_frames(given: Path, frames: int | None, run: Run) -> None:
    """Raises NerfkitError: ``frames`` of a video are asked for, and the run began with others."""
    from nerfkit.capture.photos import films
    from nerfkit.capture.video import is_video
    from nerfkit.poses.source import has_frames

    if frames is None:
        return
    if not (is_video(given) or films(given)):
        raise NerfkitError(f"{given}: --frames is for a video that a run begins with; leave it out")
    if not has_frames(run.path / "poses", given, frames):
        raise NerfkitError(
            f"{run.path}: was begun with other frames than --frames {frames} takes; leave it out, choose another "
            f"--out, or begin anew: nerfkit train {given} --out {run.path} --frames {frames} --overwrite"
        )


def warn_of_new_poses(run: Run, console: Console) -> None:
    """A run keeps the cameras that it began with, even where ``nerfkit poses`` has found others since."""
    folder = run.origin
    poses, scene = folder / "poses.json", run.path / "scene.json"
    if poses.is_file() and scene.is_file() and poses.stat().st_mtime > scene.stat().st_mtime:
        console.warn(
            f"{folder}: these poses are newer than the run in {run.path}, which keeps those it began with; "
            f"train on the new ones with: nerfkit train {folder} --out OTHER"
        )


def posed(scene: Path, images: Path | None, out: Path, console: Console, frames: int | None = None) -> Path:
    """The scene itself, or for a folder of plain photos or a video the poses found for it, in the run's folder."""
    from nerfkit.capture.photos import has_photos_or_films
    from nerfkit.capture.video import is_video
    from nerfkit.data.readers import readers

    check_no_run(scene)
    known = (
        not scene.is_dir() or any(reader.accepts(scene) for reader in readers(images)) or not has_photos_or_films(scene)
    )
    if known and not is_video(scene):
        if frames is not None and scene.exists():
            raise NerfkitError(f"{scene}: has its cameras already, and --frames is for a video; leave it out")
        return scene
    from nerfkit.cli.poses import find
    from nerfkit.poses import PoseOptions

    console.say(f"{scene} has no poses yet: finding them first")
    find(scene, out / "poses", PoseOptions(frames=frames), console)
    return out / "poses"


def check_no_run(scene: Path) -> None:
    """Raises NerfkitError: a run is to be trained on, whose folder has the pictures of its evaluation for photos."""
    from nerfkit.train.run import Run

    if (scene / "config.toml").is_file() and (scene / "scene.json").is_file():
        known = Run.open(scene).origin
        raise NerfkitError(f"{scene}: is a run, not a scene; go on with it by --resume, or train on its scene: {known}")


def scores_in_words(scores: dict[str, Any]) -> str:
    """PSNR and SSIM; where photos differ in exposure, which no render can foresee, also what is left without that."""
    plain, matched = scores["psnr"], scores.get("color_matched_psnr")
    if plain is None:
        return "nothing to measure, masks hide all of it"
    beside = f" ({matched:.2f} dB in the exposure of each photo)" if matched and matched - plain > _EXPOSED else ""
    similar = "" if scores["ssim"] is None else f", SSIM {scores['ssim']:.4f}"
    return f"PSNR {plain:.2f} dB{beside}{similar}"


def summary(out: Path, metrics: dict[str, Any]) -> str:
    scores = metrics["eval"]
    quality = "no photos held out"
    if scores["views"]:
        quality = f"{scores_in_words(scores)} on {scores['views']} held-out photos"
    return f"[bold]{out}[/]: {quality}, {metrics['steps']:,} steps in {metrics['seconds']:.0f} s"
