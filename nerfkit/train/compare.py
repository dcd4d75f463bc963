"""Several runs side by side: their figures, their speed here, and whether they are measured on the same photos."""

from __future__ import annotations

import filecmp
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch

from nerfkit.contracts import SceneModel
from nerfkit.data.scene import Scene
from nerfkit.data.view import PhotoView
from nerfkit.errors import NerfkitError
from nerfkit.progress import ProgressSink, quiet
from nerfkit.train.run import Run

TIMED = 5  # frames that tell a run's speed


@dataclass(frozen=True, eq=False)
class Compared:
    """A finished run among others; its label is the shortest end of its path that no other has."""

    label: str
    run: Run
    scene: Scene
    metrics: dict[str, Any]

    @property
    def views(self) -> list[PhotoView]:
        """The views it is shown at: those held out, or all where none is."""
        return [self.scene.views[index] for index in self.scene.held_out] or self.scene.views


def open_runs(paths: Sequence[Path]) -> list[Compared]:
    """Opens runs to compare.

    Raises:
        NerfkitError: no path or one path twice, no run there, or one that was never measured.
    """
    if not paths:
        raise NerfkitError("no runs to compare; give the folders that nerfkit train --out made")
    places = [path.resolve() for path in paths]
    for index, path in enumerate(paths):
        if places[index] in places[:index]:
            raise NerfkitError(f"{path}: is given twice; give each run once")
    runs = [Run.open(path) for path in paths]
    metrics = [read_metrics(run) for run in runs]
    return [
        Compared(label, run, run.scene(), facts)
        for label, run, facts in zip(labels(places), runs, metrics, strict=True)
    ]


def read_metrics(run: Run) -> dict[str, Any]:
    """Raises NerfkitError: no ``metrics.json``, or one that can't be read."""
    try:
        metrics = json.loads(run.metrics.read_text())
        assert isinstance(metrics["eval"], dict)
    except FileNotFoundError:
        raise NerfkitError(
            f"{run.metrics}: no such file; finish the run (nerfkit train --resume), "
            f"or measure it with `nerfkit eval {run.path}`"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        raise NerfkitError(
            f"{run.metrics}: not a run's metrics; write it anew with `nerfkit eval {run.path}`"
        ) from None
    return metrics  # type: ignore[no-any-return]


def labels(places: Sequence[Path]) -> list[str]:
    """The shortest ends of different absolute paths that tell them apart."""
    out = []
    for place in places:
        others = [other.parts for other in places if other != place]
        length = 1
        while any(other[-length:] == place.parts[-length:] for other in others):
            length += 1
        out.append("/".join(place.parts[-length:]))
    return out


def row(one: Compared) -> dict[str, Any]:
    """The figures of a run, from its files; ``frames_per_second`` is for :func:`frames_per_second` to fill in."""
    metrics, scores, camera = one.metrics, one.metrics["eval"], one.views[0].camera
    return {
        "label": one.label,
        "run": str(one.run.path),
        "scene": one.run.scene_name,
        "model": one.run.config.model,
        "device": metrics.get("device"),
        "width": camera.width,
        "height": camera.height,
        "views": scores.get("views"),
        "psnr": scores.get("psnr"),
        "color_matched_psnr": scores.get("color_matched_psnr"),
        "ssim": scores.get("ssim"),
        "lpips": scores.get("lpips"),
        "seconds": metrics.get("seconds"),
        "steps": metrics.get("steps"),
        "frames_per_second": None,
        "parameters": metrics.get("parameters"),
        "file_bytes": metrics.get("file_bytes"),
        "peak_memory_bytes": metrics.get("peak_memory_bytes"),
    }


def frames_per_second(
    models: Sequence[SceneModel], runs: Sequence[Compared], progress: ProgressSink = quiet, frames: int = TIMED
) -> list[float]:
    """How many of its held-out views each run draws in a second: 1 over the median time of ``frames`` of them.

    The runs take turns, so that a machine that gets slower or busy does so for all of them. A first turn isn't
    counted.
    """
    seconds: list[list[float]] = [[] for _ in runs]
    cameras = [[view.camera for view in evenly(one.views, frames)] for one in runs]
    for turn in range(frames + 1):
        for times, model, own in zip(seconds, models, cameras, strict=True):
            start = time.perf_counter()
            with torch.no_grad():
                rgb = model.render(own[turn % len(own)], frozenset({"rgb"})).rgb
            assert rgb is not None, "render() was asked for rgb"
            rgb[0, 0, 0].item()  # waits for a GPU
            times.append(time.perf_counter() - start)
        progress("speed", turn + 1, frames + 1)
    return [1 / median(times[1:]) for times in seconds]


def evenly(views: Sequence[PhotoView], count: int) -> list[PhotoView]:
    """At most ``count`` of the views, in even steps from the first to the last."""
    if count >= len(views):
        return list(views)
    return [views[round(k * (len(views) - 1) / max(1, count - 1))] for k in range(count)]


def differing_views(runs: Sequence[Compared]) -> Compared | None:
    """The first run whose held-out photos are not those of ``runs[0]``."""
    return next((one for one in runs[1:] if not _same_photos(runs[0].views, one.views)), None)


def check_same_views(runs: Sequence[Compared]) -> None:
    """Raises NerfkitError: runs that hold out different photos, so that no view of one is a view of the other."""
    other = differing_views(runs)
    if other is not None:
        raise NerfkitError(
            f"{other.run.path}: holds out other photos ({_some(other)}) than {runs[0].run.path} ({_some(runs[0])}); "
            "a sheet or video needs runs of one scene, trained with the same --hold-out-every"
        )


def _same_photos(a: Sequence[PhotoView], b: Sequence[PhotoView]) -> bool:
    names = [view.name for view in a] == [view.name for view in b]
    return names and all(_same_file(one.path, other.path) for one, other in zip(a, b, strict=True))


def _same_file(a: Path, b: Path) -> bool:
    if a.resolve() == b.resolve():
        return True
    return a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False)  # a scene that was copied


def _some(one: Compared) -> str:
    names = [view.name for view in one.views]
    return f"{one.scene.name}: {', '.join(names[:3])}{', …' if len(names) > 3 else ''}"
