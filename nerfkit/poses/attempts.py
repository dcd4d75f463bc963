"""COLMAP's stages on one set of photos, each at some strength and each done once."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nerfkit.cache import Cache, key_of
from nerfkit.capture import masks
from nerfkit.capture import photos as capture
from nerfkit.capture.masks import PlacedMasks
from nerfkit.capture.photos import Photo, Photos, UprightFolder
from nerfkit.errors import NerfkitError
from nerfkit.poses import stage
from nerfkit.poses.learned import Networks
from nerfkit.poses.options import FeatureSettings, PoseOptions
from nerfkit.poses.stage import VERSION
from nerfkit.progress import ProgressSink, quiet

UNTOLD = ("review", "output")  # stages of a second or two, without progress


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


class Stages:
    """What the stages share: the photos, the options, and where results are kept."""

    def __init__(
        self, cache: Cache, work: Path, out: Path, options: PoseOptions, progress: ProgressSink, found: Photos,
        networks: Networks | None, worker: stage.Worker,
    ) -> None:  # fmt: skip
        self.worker = worker
        self.cache, self.work, self.out, self.options, self.progress = cache, work, out, options, progress
        self.photos, self.ordered, self.rig, self.networks = found.photos, found.ordered, found.rig, networks

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

    def attempt(
        self, strength: Strength, folder: UprightFolder, groups: list[list[Photo]], placed: PlacedMasks
    ) -> Attempt:
        """All three stages at one strength."""
        records = {"features": self.features(strength, folder, groups, placed), "matching": self.matching(strength)}
        records["mapping"] = self.mapping(strength, folder)
        return Attempt(strength, records)

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
            result, seconds = self.run(name, place, {"database": str(database.resolve()), **arguments})
            os.replace(database, target)
            record = self.cache.put(place, key, seconds, result)
        return record

    def mapping(self, strength: Strength, folder: UprightFolder) -> dict[str, Any]:
        place, key = "mapping" + strength.suffix, self.keys(strength)["mapping"]
        record, target = self.cache.get(place, key), self.model(strength)
        if record is None or _sizes(target) != record["result"]["files"]:
            self.cache.drop(place)
            model = self.work / target.name
            result, seconds = self.run("mapping", place, {
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

    def run(self, name: str, place: str, arguments: dict[str, Any]) -> tuple[dict[str, Any], float]:
        return self.worker.run(name, arguments, self.cache.log(place), quiet if name in UNTOLD else self.progress)


def _sizes(folder: Path) -> dict[str, int]:
    """The files of a folder and their bytes; none where there is no folder."""
    return {file.name: file.stat().st_size for file in folder.iterdir()} if folder.is_dir() else {}
