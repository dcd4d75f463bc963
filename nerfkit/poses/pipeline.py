"""From a folder of photos to poses: the stages in their order, each done once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nerfkit.capture import photos as capture
from nerfkit.capture.photos import Photo, Photos, UprightFolder
from nerfkit.errors import NerfkitError
from nerfkit.files import write_text
from nerfkit.poses import stage
from nerfkit.poses.options import FEWEST_SHARE, QUALITY, STRONGER, FeatureSettings, PoseOptions
from nerfkit.poses.output import FILES
from nerfkit.poses.report import PoseReport
from nerfkit.poses.stage import Cache, key_of
from nerfkit.progress import ProgressSink, quiet

VERSION = 2  # of the stages' results; another one makes them anew
MARK = "nerfkit-poses.json"  # in .cache: the folder is ours

log = logging.getLogger("nerfkit")


def estimate(photos: Path, out: Path, options: PoseOptions, progress: ProgressSink = quiet) -> PoseReport:
    """Finds the camera poses of a folder of photos, and sparse points, and writes them into ``out``.

    ``out`` gets ``colmap/sparse/0/*.bin``, ``transforms.json``, ``sparse_pc.ply``, ``poses.json``, where needed
    ``photos/`` (upright copies), and ``.cache/``: what is done is not done again, and a killed run continues.
    The world frame and its scale are COLMAP's, arbitrary.

    Args:
        photos: folder of photos, or a folder with them in ``images/``, ``photos/`` or ``input/``.
        out: a new or empty folder, or one of an earlier run on the same photos.
        options: quality, matcher, camera model, seed.
        progress: hears of the stages ``photos``, ``features``, ``matching`` and ``mapping``.

    Raises:
        NerfkitError: no photos or too few; photos that don't overlap; ``out`` holds something else; no space left.
    """
    options.check()
    start = time.perf_counter()
    found = capture.find(photos, progress)
    claim(out, found.folder)
    cache = Cache(out / ".cache")
    with cache.workspace() as work:
        return _Run(cache, work, out, options, progress, found, start).all()


def claim(out: Path, source: Path) -> None:
    """Takes ``out`` for the poses of the photos in ``source``.

    Raises:
        NerfkitError: ``out`` is a file, holds other things, or the poses of other photos.
    """
    mark = out / ".cache" / MARK
    origin = _origin(source, out)
    if mark.is_file():
        known = json.loads(mark.read_text()).get("photos")
        if known != origin:
            raise NerfkitError(f"{out}: holds the poses of other photos ({known}, not {source}); choose another --out")
        return
    if out.exists() and not out.is_dir():
        raise NerfkitError(f"{out}: is a file; choose a folder for --out")
    if out.is_dir() and any(out.iterdir()):
        raise NerfkitError(f"{out}: exists and holds other files; choose another --out or empty it")
    write_text(mark, json.dumps({"format": "nerfkit-poses", "version": VERSION, "photos": origin}) + "\n")


def _origin(source: Path, out: Path) -> str:
    """Relative, so that photos and poses can be moved together."""
    try:
        return Path(os.path.relpath(source.resolve(), out.resolve())).as_posix()
    except ValueError:  # another drive
        return source.resolve().as_posix()


@dataclass(frozen=True)
class Strength:
    """How hard poses are tried for. A second attempt keeps its files beside those of the first."""

    features: FeatureSettings
    guided: bool = False
    relaxed: bool = False
    suffix: str = ""


@dataclass(frozen=True)
class Attempt:
    strength: Strength
    records: dict[str, dict[str, Any]]  # of the stages

    @property
    def mapping(self) -> dict[str, Any]:
        result: dict[str, Any] = self.records["mapping"]["result"]
        return result

    @property
    def rank(self) -> tuple[bool, bool, int, float]:
        registered = len(self.mapping["registered"])
        return registered >= capture.FEWEST, not self.mapping["doubts"], registered, self.mapping["agreement"]


class _Run:
    """One call of :func:`estimate`: what its stages share."""

    def __init__(
        self, cache: Cache, work: Path, out: Path, options: PoseOptions, progress: ProgressSink,
        found: Photos, start: float,
    ) -> None:  # fmt: skip
        self.cache, self.work, self.out, self.options, self.progress = cache, work, out, options, progress
        self.photos, self.unreadable, self.ordered, self.start = found.photos, found.unreadable, found.ordered, start
        self.first = Strength(QUALITY[options.quality])
        self.output_key = key_of(mapping=self.keys(self.first)["mapping"], unreadable=self.unreadable)

    def keys(self, strength: Strength) -> dict[str, str]:
        """What each stage's result depends on."""
        features = key_of(
            version=VERSION, photos=[(photo.name, photo.digest) for photo in self.photos],
            settings=asdict(strength.features), camera_model=self.options.camera_model,
            single_camera=self.options.single_camera,
        )  # fmt: skip
        matching = key_of(
            features=features, matcher=self.options.matcher, ordered=self.ordered, guided=strength.guided,
            seed=self.options.seed,
        )  # fmt: skip
        return {"features": features, "matching": matching, "mapping": key_of(matching=matching)}

    def all(self) -> PoseReport:
        groups = self.camera_groups()
        if self.cache.get("output", self.output_key) and all((self.out / file).is_file() for file in FILES):
            report = PoseReport.read(self.out / "poses.json")
            for name in ("features", "matching", "mapping"):
                self.progress(name, report.photos, report.photos)
        else:
            folder = self.upright()
            found = [self.attempt(self.first, folder, groups)]
            trouble = self.trouble(found[0])
            if trouble:
                log.info("%s: once more with stronger features, guided matching and relaxed thresholds", trouble)
                strong = Strength(STRONGER[self.options.quality], guided=True, relaxed=True, suffix="-2")
                found.append(self.attempt(strong, folder, groups))
            best = max(found, key=lambda attempt: attempt.rank)
            self.check_registered(best.mapping["registered"])
            report = self.output(folder, best, found)
        _warn(report)
        return report

    def attempt(self, strength: Strength, folder: UprightFolder, groups: list[list[Photo]]) -> Attempt:
        """All three stages at one strength."""
        records = {"features": self.features(strength, folder, groups), "matching": self.matching(strength)}
        records["mapping"] = self.mapping(strength, folder)
        return Attempt(strength, records)

    def trouble(self, attempt: Attempt) -> str:
        """Why another attempt is worth its time; empty where it is not."""
        registered = len(attempt.mapping["registered"])
        if registered < FEWEST_SHARE * len(self.photos):
            return f"only {registered} of {len(self.photos)} photos fit together"
        if attempt.mapping["doubts"]:
            return "the poses look wrong (" + "; ".join(attempt.mapping["doubts"]) + ")"
        return ""

    def camera_groups(self) -> list[list[Photo]]:
        groups = capture.camera_groups(self.photos)
        if self.options.single_camera == "no":
            return [[photo] for photo in self.photos]
        if self.options.single_camera == "yes":
            sizes = sorted({(photo.width, photo.height) for photo in self.photos})
            if len(sizes) > 1:
                words = ", ".join(f"{width}x{height}" for width, height in sizes[:4])
                raise NerfkitError(
                    f"{self.photos[0].path.parent}: photos of different sizes ({words}) can't share one camera; "
                    "use --single-camera auto"
                )
            return [self.photos]
        return groups

    def upright(self) -> UprightFolder:
        key = key_of(version=VERSION, photos=[(photo.name, photo.digest) for photo in self.photos])
        folder = self.out / "photos"
        record = self.cache.get("photos", key)
        by_name = {photo.name: photo for photo in self.photos}
        if record is not None and all((folder / name).is_file() for name in record["result"]):
            return UprightFolder(folder, {name: by_name[source] for name, source in record["result"].items()})
        placed = capture.upright(self.photos, folder, self.progress)
        if placed.folder == folder:
            self.cache.put("photos", key, 0, {name: photo.name for name, photo in placed.names.items()})
        return placed

    def features(self, strength: Strength, folder: UprightFolder, groups: list[list[Photo]]) -> dict[str, Any]:
        names = {photo: name for name, photo in folder.names.items()}
        arguments = {
            "folder": str(folder.folder.resolve()),
            "groups": [
                {"names": [names[photo] for photo in group], "longest_side": max(group[0].width, group[0].height)}
                for group in groups
            ],
            "camera_model": self.options.camera_model,
            "settings": asdict(strength.features),
        }
        return self.database("features", strength, None, arguments)

    def matching(self, strength: Strength) -> dict[str, Any]:
        arguments = {
            "matcher": self.options.matcher, "ordered": self.ordered, "guided": strength.guided,
            "seed": self.options.seed,
        }  # fmt: skip
        return self.database("matching", strength, "features", arguments)

    def database(self, name: str, strength: Strength, source: str | None, arguments: dict[str, Any]) -> dict[str, Any]:
        """Makes ``<name>.db`` in the cache, from a copy of ``<source>.db``; gives its record."""
        place, key = name + strength.suffix, self.keys(strength)[name]
        record, target = self.cache.get(place, key), self.cache.folder / f"{place}.db"
        if record is None or not stage.intact(target):
            self.cache.drop(place)
            database = self.work / target.name
            if source is not None:
                shutil.copyfile(self.cache.folder / f"{source}{strength.suffix}.db", database)
            result, seconds = self.stage(name, place, {"database": str(database.resolve()), **arguments})
            os.replace(database, target)
            record = self.cache.put(place, key, seconds, result)
        return record

    def mapping(self, strength: Strength, folder: UprightFolder) -> dict[str, Any]:
        place, key = "mapping" + strength.suffix, self.keys(strength)["mapping"]
        record, target = self.cache.get(place, key), self.model(strength)
        if record is None or _sizes(target) != record["result"]["files"]:
            self.cache.drop(place)
            model = self.work / target.name
            result, seconds = self.stage("mapping", place, {
                "database": str((self.cache.folder / f"matching{strength.suffix}.db").resolve()),
                "folder": str(folder.folder.resolve()),
                "output": str(model.resolve()),
                "photos": len(self.photos),
                "seed": self.options.seed,
                "relaxed": strength.relaxed,
                "focals": {name: photo.focal_px for name, photo in folder.names.items() if photo.focal_px},
            })  # fmt: skip
            shutil.rmtree(target, ignore_errors=True)
            if result["registered"]:
                os.replace(model, target)
            record = self.cache.put(place, key, seconds, {**result, "files": _sizes(target)})
        return record

    def model(self, strength: Strength) -> Path:
        return self.cache.folder / f"model{strength.suffix}"

    def check_registered(self, names: list[str]) -> None:
        if len(names) >= capture.FEWEST:
            return
        raise NerfkitError(
            f"{self.photos[0].path.parent}: only {len(names)} of {len(self.photos)} photos fit together: photos of "
            "different scenes, or too little overlap or texture; take photos that share at least two thirds of what "
            "they show with the next one"
        )

    def output(self, folder: UprightFolder, best: Attempt, found: Sequence[Attempt]) -> PoseReport:
        result = best.mapping
        registered = {folder.names[name].name for name in result["registered"]}
        seconds = {
            name: round(sum(float(attempt.records[name]["seconds"]) for attempt in found), 2)
            for name in ("features", "matching", "mapping")
        }
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
        )
        self.cache.drop("output")
        model = self.model(best.strength).resolve()
        write_text(self.out / "poses.json", json.dumps(report.to_json(), indent=1) + "\n")
        self.stage("output", "output", {
            "model": str(model), "folder": str(folder.folder.resolve()), "out": str(self.out.resolve()),
        })  # fmt: skip
        self.cache.put("output", self.output_key, 0, {})
        return report

    def stage(self, name: str, place: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], float]:
        return stage.run(name, arguments, self.cache.log(place), quiet if name == "output" else self.progress)


def _sizes(folder: Path) -> dict[str, int]:
    """The files of a folder and their bytes; none where there is no folder."""
    return {file.name: file.stat().st_size for file in folder.iterdir()} if folder.is_dir() else {}


def _warn(report: PoseReport) -> None:
    if report.unregistered:
        log.warning(
            "%d of %d photos have no pose, for lack of overlap with the others: %s",
            len(report.unregistered), report.photos, ", ".join(report.unregistered),
        )  # fmt: skip
    for group in report.groups:
        log.warning("fit among themselves, but not to the others: %s", ", ".join(group))
    if report.doubts:
        log.warning("the poses may be wrong: %s; try --seed 1 or --quality best", "; ".join(report.doubts))
