"""From a folder of photos or a video to poses: the stages in their order, each done once."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from nerfkit.cache import Cache, key_of
from nerfkit.capture import photos as capture
from nerfkit.capture.masks import PlacedMasks
from nerfkit.capture.photos import UprightFolder
from nerfkit.errors import NerfkitError
from nerfkit.files import remove_abandoned, write_text
from nerfkit.lock import alone
from nerfkit.poses import advice, learned, source
from nerfkit.poses.attempts import Attempt, Stages, Strength
from nerfkit.poses.claim import claim
from nerfkit.poses.options import FEWEST_SHARE, QUALITY, STRONGER, PoseOptions
from nerfkit.poses.output import FILES
from nerfkit.poses.report import PoseReport
from nerfkit.poses.review import facts
from nerfkit.poses.scale_reference import parse, resolve
from nerfkit.poses.stage import Worker
from nerfkit.progress import ProgressSink, quiet

log = logging.getLogger("nerfkit")


def estimate(photos: Path, out: Path, options: PoseOptions, progress: ProgressSink = quiet) -> PoseReport:
    """Finds the camera poses of a folder of photos or a video, and sparse points, and writes them into ``out``.

    ``out`` gets ``colmap/sparse/0/*.bin``, ``transforms.json``, ``sparse_pc.ply``, ``poses.json``, ``poses.html``,
    where needed ``photos/`` (upright copies, or the frames of a video) and ``masks/``, and ``.cache/``: what is done
    is not done again, and a killed run continues. The world frame is upright; its unit is a metre where GPS or
    ``scale_ref`` tells (``poses.json``: frame).

    Args:
        photos: folder of photos, in subfolders too, or a folder with them in ``images/``, ``photos/`` or ``input/``;
            or a video.
        out: a new or empty folder, or one of an earlier run on the same photos.
        options: quality, matcher, camera model, seed, scale reference.
        progress: hears of the stages ``frames``, ``photos``, ``features``, ``matching``, ``mapping``, once all photos
            are placed of ``adjusting``, ``checking`` and ``colours``, and of ``page``.

    Raises:
        NerfkitError: no photos or too few; photos that don't overlap; ``out`` holds something else, or another command
            is at work in it; no space left.
    """
    options.check()
    networks = learned.networks(options.feature_models) if options.features == "aliked" else None
    start = time.perf_counter()
    cache = Cache(out / ".cache")
    with ExitStack() as stack:

        def take(out: Path, origin: Path) -> None:
            claim(out, origin)
            stack.enter_context(alone(out))
            for folder in (out, cache.folder):
                remove_abandoned(folder, age=0)

        found = source.photos_of(photos, out, options, take, progress)
        work, worker = stack.enter_context(cache.workspace()), stack.enter_context(Worker())
        stages = Stages(cache, work, out, options, progress, found, networks, worker)
        return _Run(stages, found.unreadable, start).all()


class _Run:
    """One call of :func:`estimate`: attempts until one is good, and what comes out of it."""

    def __init__(self, stages: Stages, unreadable: list[str], start: float) -> None:
        self.stages, self.cache, self.out, self.options = stages, stages.cache, stages.out, stages.options
        self.photos, self.unreadable, self.start = stages.photos, unreadable, start
        self.first = Strength(QUALITY[self.options.quality])
        sizes = {photo.name: (photo.width, photo.height) for photo in self.photos}
        self.reference = resolve(parse(self.options.scale_ref), sizes) if self.options.scale_ref else None
        self.output_key = key_of(
            mapping=stages.keys(self.first)["mapping"], reference=self.reference and asdict(self.reference),
            unreadable=self.unreadable,
        )  # fmt: skip

    def all(self) -> PoseReport:
        groups = self.stages.camera_groups()
        if self.cache.get("output", self.output_key) and all((self.out / file).is_file() for file in FILES):
            report = PoseReport.read(self.out / "poses.json")
            for name in ("features", "matching", "mapping"):
                self.stages.progress(name, report.photos, report.photos)
        else:
            folder = self.stages.upright()
            placed = self.stages.masks(folder)
            found = [self.stages.attempt(self.first, folder, groups, placed)]
            trouble = self.trouble(found[0])
            if trouble:
                log.info("%s: once more with stronger features, guided matching and relaxed thresholds", trouble)
                strong = Strength(STRONGER[self.options.quality], guided=True, relaxed=True, suffix="-2")
                found.append(self.stages.attempt(strong, folder, groups, placed))
            best = max(found, key=lambda attempt: attempt.rank)
            self.check_registered(best, folder)
            report = self.output(folder, placed, best, found)
        _warn(report)
        return report

    def trouble(self, attempt: Attempt) -> str:
        """Why another attempt is worth its time; empty where it is not."""
        registered = len(attempt.mapping["registered"])
        if registered < FEWEST_SHARE * len(self.photos):
            return f"only {registered} of {len(self.photos)} photos fit together"
        if attempt.mapping["doubts"]:
            return "the poses look wrong (" + "; ".join(attempt.mapping["doubts"]) + ")"
        return ""

    def check_registered(self, best: Attempt, folder: UprightFolder) -> None:
        names = best.mapping["registered"]
        if len(names) >= capture.FEWEST:
            return
        raise NerfkitError(
            f"{self.photos[0].root}: only {len(names)} of {len(self.photos)} photos fit together: photos of "
            "different scenes, or too little overlap or texture; take photos that share at least two thirds of what "
            f"they show with the next one; {self.explain(folder, best)} shows which match"
        )

    def explain(self, folder: UprightFolder, best: Attempt) -> Path:
        """Writes ``poses.html`` of photos that gave no model, and warns of what to photograph again."""
        warnings = advice.warnings(facts(self.review(folder, best, mapped=False), None, None, 0))
        for warning in warnings:
            log.warning("%s", warning.text)
        failed = PoseReport(
            len(self.photos), 0, [photo.name for photo in self.photos], self.unreadable, points=0,
            mean_reprojection_error_px=0.0, agreement=0.0, cameras=0,
            matcher=best.records["matching"]["result"]["matcher"], seconds={},
            warnings=[warning.to_json() for warning in warnings],
        )  # fmt: skip
        self.page(failed, folder, None)
        return self.out / "poses.html"

    def output(self, folder: UprightFolder, placed: PlacedMasks, best: Attempt, found: Sequence[Attempt]) -> PoseReport:
        result = best.mapping
        registered = {folder.names[name].name for name in result["registered"]}
        seconds = {
            name: round(sum(float(attempt.records[name]["seconds"]) for attempt in found), 2)
            for name in ("features", "matching", "mapping")
        }
        seen = self.review(folder, best, mapped=True)
        with_gps = sum(photo.gps is not None for photo in self.photos)
        known = facts(seen, result["agreement"], result["mean_reprojection_error_px"], with_gps, result["doubts"])
        report = PoseReport(
            photos=len(self.photos),
            registered=len(registered),
            unregistered=[photo.name for photo in self.photos if photo.name not in registered],
            unreadable=self.unreadable,
            points=result["points"],
            mean_reprojection_error_px=round(result["mean_reprojection_error_px"], 4),
            agreement=round(result["agreement"], 4),
            cameras=result["cameras"],
            matcher=best.records["matching"]["result"]["matcher"],
            seconds=seconds | {"total": round(max(time.perf_counter() - self.start, sum(seconds.values())), 2)},
            doubts=result["doubts"],
            groups=[sorted(folder.names[name].name for name in group) for group in result["groups"]],
            attempts=len(found),
            frame=seen["frame"],
            warnings=[warning.to_json() for warning in advice.warnings(known)],
        )
        self.cache.drop("output")
        model = self.stages.model(best.strength).resolve()
        write_text(self.out / "poses.json", json.dumps(report.to_json(), indent=1) + "\n")
        places = {"folder": str(folder.folder.resolve()), "out": str(self.out.resolve())}
        self.stages.run("output", "output", {
            "model": str(model), "world_from_model": seen["world_from_model"],
            "masks": {name: str(mask.resolve()) for name, mask in placed.files.items()}, **places,
        })  # fmt: skip
        self.page(report, folder, self.out / "colmap" / "sparse" / "0")
        self.cache.put("output", self.output_key, 0, {})
        return report

    def page(self, report: PoseReport, folder: UprightFolder, model: Path | None) -> None:
        self.stages.run("page", "page", {
            "report": report.to_json(), "review": str(self.cache.folder.resolve() / "review.json"),
            "model": model and str(model.resolve()), "folder": str(folder.folder.resolve()),
            "out": str(self.out.resolve()),
        })  # fmt: skip

    def review(self, folder: UprightFolder, best: Attempt, mapped: bool) -> dict[str, Any]:
        """The facts of all photos and, where there is a model, the world frame: see :mod:`nerfkit.poses.review`."""
        key = key_of(
            mapping=self.stages.keys(best.strength)["mapping"], mapped=mapped,
            reference=self.reference and asdict(self.reference),
        )  # fmt: skip
        record = self.cache.get("review", key)
        if record is None:
            images = {photo.name: image for image, photo in folder.names.items()}
            reference = self.reference and replace(
                self.reference,
                marks=tuple(replace(mark, photo=images[mark.photo]) for mark in self.reference.marks),
                cameras=tuple(images[name] for name in self.reference.cameras),
            )
            result, seconds = self.stages.run("review", "review", {
                "database": str(self.cache.folder.joinpath(f"matching{best.strength.suffix}.db").resolve()),
                "model": str(self.stages.model(best.strength).resolve()) if mapped else None,
                "photos": [
                    {
                        "name": photo.name, "image": images[photo.name], "width": photo.width, "height": photo.height,
                        "exif_focal_px": photo.focal_px, "gps": photo.gps,
                    }
                    for photo in self.photos
                ],
                "scale_ref": reference and asdict(reference),
            })  # fmt: skip
            record = self.cache.put("review", key, seconds, result)
        return dict(record["result"])


def _warn(report: PoseReport) -> None:
    for warning in report.warnings:
        log.warning("%s", warning["text"])
