"""From a folder of photos or a video to poses: the stages in their order, each done once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nerfkit.capture import masks
from nerfkit.capture import photos as capture
from nerfkit.capture.masks import PlacedMasks
from nerfkit.capture.photos import Photo, Photos, UprightFolder
from nerfkit.errors import NerfkitError
from nerfkit.files import write_text
from nerfkit.poses import advice, learned, source, stage
from nerfkit.poses.options import FEWEST_SHARE, QUALITY, STRONGER, FeatureSettings, PoseOptions
from nerfkit.poses.output import FILES
from nerfkit.poses.report import PoseReport
from nerfkit.poses.review import facts
from nerfkit.poses.scale_reference import parse, resolve
from nerfkit.poses.stage import Cache, key_of
from nerfkit.progress import ProgressSink, quiet

VERSION = 3  # of the stages' results; another one makes them anew
UNTOLD = ("review", "output", "page")  # stages of a second or two, without progress
MARK = "nerfkit-poses.json"  # in .cache: the folder is ours

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
        progress: hears of the stages ``frames``, ``photos``, ``features``, ``matching`` and ``mapping``.

    Raises:
        NerfkitError: no photos or too few; photos that don't overlap; ``out`` holds something else; no space left.
    """
    options.check()
    networks = learned.networks(options.feature_models) if options.features == "aliked" else None
    start = time.perf_counter()
    found = source.photos_of(photos, out, options, claim, progress)
    cache = Cache(out / ".cache")
    with cache.workspace() as work:
        return _Run(cache, work, out, options, progress, found, start, networks).all()


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
        found: Photos, start: float, networks: learned.Networks | None,
    ) -> None:  # fmt: skip
        self.cache, self.work, self.out, self.options, self.progress = cache, work, out, options, progress
        self.photos, self.unreadable, self.start = found.photos, found.unreadable, start
        self.ordered, self.rig, self.networks = found.ordered, found.rig, networks
        self.first = Strength(QUALITY[options.quality])
        sizes = {photo.name: (photo.width, photo.height) for photo in self.photos}
        self.reference = resolve(parse(options.scale_ref), sizes) if options.scale_ref else None
        self.output_key = key_of(
            mapping=self.keys(self.first)["mapping"], reference=self.reference and asdict(self.reference),
            unreadable=self.unreadable,
        )  # fmt: skip

    def keys(self, strength: Strength) -> dict[str, str]:
        """What each stage's result depends on."""
        features = key_of(
            version=VERSION, photos=[(photo.name, photo.digest, photo.mask_digest) for photo in self.photos],
            settings=asdict(strength.features), camera_model=self.options.camera_model,
            single_camera=self.options.single_camera, rig=[asdict(view) for view in self.rig],
            **({"networks": self.networks.digest} if self.networks else {}),
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
            placed = self.masks(folder)
            found = [self.attempt(self.first, folder, groups, placed)]
            trouble = self.trouble(found[0])
            if trouble:
                log.info("%s: once more with stronger features, guided matching and relaxed thresholds", trouble)
                strong = Strength(STRONGER[self.options.quality], guided=True, relaxed=True, suffix="-2")
                found.append(self.attempt(strong, folder, groups, placed))
            best = max(found, key=lambda attempt: attempt.rank)
            self.check_registered(best, folder)
            report = self.output(folder, placed, best, found)
        _warn(report)
        return report

    def attempt(
        self, strength: Strength, folder: UprightFolder, groups: list[list[Photo]], placed: PlacedMasks
    ) -> Attempt:
        """All three stages at one strength."""
        records = {"features": self.features(strength, folder, groups, placed), "matching": self.matching(strength)}
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
                    f"{self.photos[0].root}: photos of different sizes ({words}) can't share one camera; "
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

    def masks(self, folder: UprightFolder) -> PlacedMasks:
        digests = sorted((name, photo.digest, photo.mask_digest) for name, photo in folder.names.items())
        key, where = key_of(version=VERSION, photos=digests), (self.cache.folder / "masks", self.out / "masks")
        placed = masks.places(folder, *where)
        if self.cache.get("masks", key) is None or not masks.are_placed(folder, placed):
            masks.place(folder, *where)
            self.cache.put("masks", key, 0, {})
        return placed

    def features(
        self, strength: Strength, folder: UprightFolder, groups: list[list[Photo]], placed: PlacedMasks
    ) -> dict[str, Any]:
        names = {photo: name for name, photo in folder.names.items()}
        arguments = {
            "folder": str(folder.folder.resolve()),
            "groups": [
                {
                    "names": [names[photo] for photo in group],
                    "size": (group[0].width, group[0].height),
                    "focal_px": next((photo.focal_px for photo in group if photo.focal_px is not None), None),
                    "focal_is_wrong": any(photo.focal_is_wrong for photo in group),
                }
                for group in groups
            ],
            "masks": None if placed.for_features is None else str(placed.for_features.resolve()),
            "camera_model": self.options.camera_model,
            "settings": asdict(strength.features),
            "rig": [asdict(view) | {"intrinsics": view.intrinsics} for view in self.rig],
            "network": self.networks and self.networks.extractor,
        }
        return self.database("features", strength, None, arguments)

    def matching(self, strength: Strength) -> dict[str, Any]:
        arguments = {
            "matcher": self.options.matcher, "ordered": self.ordered, "guided": strength.guided,
            "seed": self.options.seed, "rig": bool(self.rig), "network": self.networks and self.networks.matcher,
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
                "rig": bool(self.rig),
            })  # fmt: skip
            shutil.rmtree(target, ignore_errors=True)
            if result["registered"]:
                os.replace(model, target)
            record = self.cache.put(place, key, seconds, {**result, "files": _sizes(target)})
        return record

    def model(self, strength: Strength) -> Path:
        return self.cache.folder / f"model{strength.suffix}"

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
        model = self.model(best.strength).resolve()
        write_text(self.out / "poses.json", json.dumps(report.to_json(), indent=1) + "\n")
        places = {"folder": str(folder.folder.resolve()), "out": str(self.out.resolve())}
        self.stage("output", "output", {
            "model": str(model), "world_from_model": seen["world_from_model"],
            "masks": {name: str(mask.resolve()) for name, mask in placed.files.items()}, **places,
        })  # fmt: skip
        self.page(report, folder, self.out / "colmap" / "sparse" / "0")
        self.cache.put("output", self.output_key, 0, {})
        return report

    def page(self, report: PoseReport, folder: UprightFolder, model: Path | None) -> None:
        self.stage("page", "page", {
            "report": report.to_json(), "review": str(self.cache.folder.resolve() / "review.json"),
            "model": model and str(model.resolve()), "folder": str(folder.folder.resolve()),
            "out": str(self.out.resolve()),
        })  # fmt: skip

    def review(self, folder: UprightFolder, best: Attempt, mapped: bool) -> dict[str, Any]:
        """The facts of all photos and, where there is a model, the world frame: see :mod:`nerfkit.poses.review`."""
        key = key_of(
            mapping=self.keys(best.strength)["mapping"], mapped=mapped,
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
            result, seconds = self.stage("review", "review", {
                "database": str(self.cache.folder.joinpath(f"matching{best.strength.suffix}.db").resolve()),
                "model": str(self.model(best.strength).resolve()) if mapped else None,
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

    def stage(self, name: str, place: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], float]:
        return stage.run(name, arguments, self.cache.log(place), quiet if name in UNTOLD else self.progress)


def _sizes(folder: Path) -> dict[str, int]:
    """The files of a folder and their bytes; none where there is no folder."""
    return {file.name: file.stat().st_size for file in folder.iterdir()} if folder.is_dir() else {}


def _warn(report: PoseReport) -> None:
    for warning in report.warnings:
        log.warning("%s", warning["text"])
