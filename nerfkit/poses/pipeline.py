"""From a folder of photos or a video to poses: the stages in their order, each done once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nerfkit.capture import photos as capture
from nerfkit.capture.photos import Photo, Photos, UprightFolder
from nerfkit.errors import NerfkitError
from nerfkit.files import write_text
from nerfkit.poses import source, stage
from nerfkit.poses.options import EXHAUSTIVE_UP_TO, QUALITY, PoseOptions
from nerfkit.poses.output import FILES
from nerfkit.poses.report import PoseReport
from nerfkit.poses.stage import Cache, key_of
from nerfkit.progress import ProgressSink, quiet

VERSION = 1  # of the stages' results; another one makes them anew
MARK = "nerfkit-poses.json"  # in .cache: the folder is ours

log = logging.getLogger("nerfkit")


def estimate(photos: Path, out: Path, options: PoseOptions, progress: ProgressSink = quiet) -> PoseReport:
    """Finds the camera poses of a folder of photos or a video, and sparse points, and writes them into ``out``.

    ``out`` gets ``colmap/sparse/0/*.bin``, ``transforms.json``, ``sparse_pc.ply``, ``poses.json``, where needed
    ``photos/`` (upright copies, or the frames of a video), and ``.cache/``: what is done is not done again, and a
    killed run continues. The world frame and its scale are COLMAP's, arbitrary.

    Args:
        photos: folder of photos, or a folder with them in ``images/``, ``photos/`` or ``input/``; or a video.
        out: a new or empty folder, or one of an earlier run on the same photos.
        options: quality, matcher, camera model, seed.
        progress: hears of the stages ``frames``, ``photos``, ``features``, ``matching`` and ``mapping``.

    Raises:
        NerfkitError: no photos or too few; photos that don't overlap; ``out`` holds something else; no space left.
    """
    options.check()
    start = time.perf_counter()
    found = source.photos_of(photos, out, options, claim, progress)
    cache = Cache(out / ".cache")
    with cache.workspace() as work:
        run = _Run(cache, work, out, options, progress, found, start)
        return run.all()


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


class _Run:
    """One call of :func:`estimate`: what its stages share."""

    def __init__(
        self, cache: Cache, work: Path, out: Path, options: PoseOptions, progress: ProgressSink,
        found: Photos, start: float,
    ) -> None:  # fmt: skip
        self.cache, self.work, self.out, self.options, self.progress = cache, work, out, options, progress
        self.photos, self.unreadable, self.start = found.photos, found.unreadable, start
        self.matcher = options.matcher_for(len(self.photos), found.ordered)
        self.features_key = key_of(
            version=VERSION, photos=[(photo.name, photo.digest) for photo in self.photos],
            settings=asdict(QUALITY[options.quality]), camera_model=options.camera_model,
            single_camera=options.single_camera, rig=[asdict(view) for view in found.rig],
        )  # fmt: skip
        self.matching_key = key_of(features=self.features_key, matcher=self.matcher, seed=options.seed)
        self.mapping_key = key_of(matching=self.matching_key)
        self.output_key = key_of(mapping=self.mapping_key, unreadable=found.unreadable)
        self.ordered, self.rig = found.ordered, found.rig

    def all(self) -> PoseReport:
        groups = self.camera_groups()
        if self.matcher == "sequential" and self.options.matcher == "auto" and not self.ordered:
            log.warning(
                "%d photos: more than %d, so only neighbours by name are compared; --matcher exhaustive compares all",
                len(self.photos), EXHAUSTIVE_UP_TO,
            )  # fmt: skip
        if self.cache.get("output", self.output_key) and all((self.out / file).is_file() for file in FILES):
            report = PoseReport.read(self.out / "poses.json")
            for name in ("features", "matching", "mapping"):
                self.progress(name, report.photos, report.photos)
        else:
            folder = self.upright()
            seconds = {
                "features": self.features(folder, groups),
                "matching": self.matching(),
                "mapping": self.mapping(folder),
            }
            report = self.output(folder, seconds)
        _warn(report)
        return report

    def camera_groups(self) -> list[list[Photo]]:
        if self.rig:
            return [[photo for photo in self.photos if photo.name.startswith(view.prefix)] for view in self.rig]
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

    def features(self, folder: UprightFolder, groups: list[list[Photo]]) -> float:
        names = {photo: name for name, photo in folder.names.items()}
        arguments = {
            "folder": str(folder.folder.resolve()),
            "groups": [
                {"names": [names[photo] for photo in group], "longest_side": max(group[0].width, group[0].height)}
                for group in groups
            ],
            "camera_model": self.options.camera_model,
            "settings": asdict(QUALITY[self.options.quality]),
            "rig": [asdict(view) | {"intrinsics": view.intrinsics} for view in self.rig],
        }
        return self.database("features", self.features_key, None, arguments)

    def matching(self) -> float:
        arguments = {"matcher": self.matcher, "seed": self.options.seed, "rig": bool(self.rig)}
        return self.database("matching", self.matching_key, "features", arguments)

    def database(self, name: str, key: str, source: str | None, arguments: dict[str, Any]) -> float:
        """Makes ``<name>.db`` in the cache, from a copy of ``<source>.db``; gives the seconds it took."""
        record, target = self.cache.get(name, key), self.cache.folder / f"{name}.db"
        if record is None or not target.is_file():
            self.cache.drop(name)
            database = self.work / target.name
            if source is not None:
                shutil.copyfile(self.cache.folder / f"{source}.db", database)
            result, seconds = self.stage(name, {"database": str(database.resolve()), **arguments})
            os.replace(database, target)
            record = self.cache.put(name, key, seconds, result)
        return float(record["seconds"])

    def mapping(self, folder: UprightFolder) -> float:
        record, target = self.cache.get("mapping", self.mapping_key), self.cache.folder / "model"
        if record is None or not (target / "images.bin").is_file():
            self.cache.drop("mapping")
            model = self.work / "model"
            result, seconds = self.stage("mapping", {
                "database": str((self.cache.folder / "matching.db").resolve()),
                "folder": str(folder.folder.resolve()),
                "output": str(model.resolve()),
                "photos": len(self.photos),
                "seed": self.options.seed,
                "rig": bool(self.rig),
            })  # fmt: skip
            self.check_registered(result["registered"])
            shutil.rmtree(target, ignore_errors=True)
            os.replace(model, target)
            record = self.cache.put("mapping", self.mapping_key, seconds, result)
        return float(record["seconds"])

    def check_registered(self, names: list[str]) -> None:
        if len(names) >= capture.FEWEST:
            return
        raise NerfkitError(
            f"{self.photos[0].path.parent}: only {len(names)} of {len(self.photos)} photos fit together: photos of "
            "different scenes, or too little overlap or texture; take photos that share at least two thirds of what "
            "they show with the next one, or try --quality best"
        )

    def output(self, folder: UprightFolder, seconds: dict[str, float]) -> PoseReport:
        record = self.cache.get("mapping", self.mapping_key)
        assert record is not None
        result = record["result"]
        registered = {folder.names[name].name for name in result["registered"]}
        report = PoseReport(
            photos=len(self.photos),
            registered=len(registered),
            unregistered=[photo.name for photo in self.photos if photo.name not in registered],
            unreadable=self.unreadable,
            points=result["points"],
            mean_reprojection_error_px=round(result["mean_reprojection_error_px"], 4),
            agreement=round(result["agreement"], 4),
            cameras=result["cameras"],
            matcher=self.matcher,
            seconds=seconds | {"total": round(max(time.perf_counter() - self.start, sum(seconds.values())), 2)},
        )
        self.cache.drop("output")
        model = (self.cache.folder / "model").resolve()
        write_text(self.out / "poses.json", json.dumps(report.to_json(), indent=1) + "\n")
        self.stage("output", {
            "model": str(model), "folder": str(folder.folder.resolve()), "out": str(self.out.resolve()),
        })  # fmt: skip
        self.cache.put("output", self.output_key, 0, {})
        return report

    def stage(self, name: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], float]:
        return stage.run(name, arguments, self.cache.log(name), quiet if name == "output" else self.progress)


def _warn(report: PoseReport) -> None:
    from nerfkit.poses.mapping import SUSPICIOUS

    if report.unregistered:
        log.warning(
            "%d of %d photos have no pose, for lack of overlap with the others (--quality best may find more): %s",
            len(report.unregistered), report.photos, ", ".join(report.unregistered),
        )  # fmt: skip
    if report.agreement < SUSPICIOUS:
        log.warning(
            "only %.0f %% of the matches agree with the poses: they may be wrong; try --seed 1 or --quality best",
            100 * report.agreement,
        )
