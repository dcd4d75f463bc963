"""The stages in their order, each done once: photos → features → matches → mapping → files."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nerfkit.capture import Photo, find_photos, make_upright
from nerfkit.errors import NerfkitError
from nerfkit.files import write_text
from nerfkit.poses import features, mapping, matching, output, worker
from nerfkit.poses.cache import Cache, content_digest, digest
from nerfkit.poses.options import PoseOptions
from nerfkit.poses.report import PoseReport
from nerfkit.progress import ProgressSink

if TYPE_CHECKING:
    import pycolmap

log = logging.getLogger("nerfkit")

BYTES_PER_FEATURE = 400  # descriptor, keypoint and its share of the matches, generously
NAMED = 10  # names in one warning; all of them stand in poses.json


def estimate(folder: Path, out: Path, options: PoseOptions, progress: ProgressSink) -> PoseReport:
    """See :func:`nerfkit.poses.estimate`."""
    options.check()
    found = find_photos(folder)
    features.camera_groups(found, options.single_camera)
    is_new = not out.exists()
    cache = Cache.claim(out)
    try:
        _check_space(out, len(found) * options.feature_count * BYTES_PER_FEATURE)
        with worker.silent():
            return _Run(cache, out, found, options, progress).report()
    except NerfkitError:
        if is_new:
            shutil.rmtree(out, ignore_errors=True)  # nothing useful is in it
        raise


class _Run:
    """One call: the stages with their keys."""

    def __init__(
        self, cache: Cache, out: Path, found: Sequence[Photo], options: PoseOptions, progress: ProgressSink
    ) -> None:
        self.cache, self.out, self.options, self.progress = cache, out, options, progress
        self.start = time.perf_counter()
        photos_key = content_digest(photo.path for photo in found)
        self.photos = make_upright(found, out / "photos", progress)
        self.photo_folder = self.photos[0].path.parent
        self.features_key = digest(
            photos_key, options.size, options.feature_count, options.camera_model, options.single_camera
        )
        self.matching_key = digest(self.features_key, options.matcher, options.seed)
        self.mapping_key = digest(self.matching_key, self.photo_folder.resolve())
        self.stages_run: list[str] = []

    def report(self) -> PoseReport:
        done = self.cache.finished("mapping", self.mapping_key)
        if done and all((self.out / name).is_file() for name in output.FILES):
            report = PoseReport.read(self.out)
            report.stages_run = []
            return report
        output.clear(self.out)
        seconds = {"features": self._features(), "matching": self._matching()}
        start = time.perf_counter()
        self.stages_run.append("mapping")
        model, agreement = mapping.reconstruct(
            self.cache.database, self.photo_folder, len(self.photos), self.options.seed, self.progress
        )
        model = self._checked(model)
        output.write(self.out, model, self.photo_folder)
        seconds["mapping"] = round(time.perf_counter() - start, 2)
        before = sum(seconds[stage] for stage in ("features", "matching") if stage not in self.stages_run)
        seconds["total"] = round(before + time.perf_counter() - self.start, 2)
        report = self._report(model, agreement, seconds)
        write_text(self.out / "poses.json", _json(report))
        self.cache.finish("mapping", self.mapping_key, seconds=seconds["mapping"])
        return report

    def _features(self) -> float:
        if self.cache.database.exists() and not worker.is_sound(self.cache.database):
            log.warning("%s: damaged; its features and matches are made again", self.cache.database)
            self.cache.drop_database()
        if not self.cache.database.exists():
            self.cache.drop_database()
        if record := self.cache.finished("features", self.features_key):
            return float(record["seconds"])
        if not self.cache.started("features", self.features_key):
            self.cache.drop_database()
            self.cache.begin("features", self.features_key)
        start = time.perf_counter()
        self.stages_run.append("features")
        features.extract(self.cache.database, self.photos, self.options, self.progress)
        return self._finished("features", self.features_key, start)

    def _matching(self) -> float:
        if record := self.cache.finished("matching", self.matching_key):
            return float(record["seconds"])
        if not self.cache.started("matching", self.matching_key):
            matching.clear(self.cache.database)
            self.cache.begin("matching", self.matching_key)
        start = time.perf_counter()
        self.stages_run.append("matching")
        names = [photo.name for photo in self.photos]
        matching.match(self.cache.database, names, self.options, self.progress)
        return self._finished("matching", self.matching_key, start)

    def _finished(self, stage: str, key: str, start: float) -> float:
        seconds = round(time.perf_counter() - start, 2)
        self.cache.finish(stage, key, seconds=seconds)
        return seconds

    def _checked(self, model: pycolmap.Reconstruction | None) -> pycolmap.Reconstruction:
        registered = 0 if model is None else model.num_reg_images()
        if model is None or registered < mapping.MIN_PHOTOS:
            raise NerfkitError(
                f"{self.photo_folder}: the {len(self.photos)} photos do not fit together (photos of different scenes, "
                "too little overlap or texture); take photos that overlap by two thirds, or try --quality best"
            )
        if 2 * registered < len(self.photos):
            missing = _unregistered(model, self.photos)
            log.warning(
                "only %d of %d photos registered (photos of different scenes, or too little overlap); without a pose: %s",
                registered, len(self.photos), ", ".join(missing[:NAMED]) + (", …" if len(missing) > NAMED else ""),
            )  # fmt: skip
        return model

    def _report(self, model: pycolmap.Reconstruction, agreement: float, seconds: dict[str, float]) -> PoseReport:
        return PoseReport(
            photos=len(self.photos),
            registered=model.num_reg_images(),
            unregistered=_unregistered(model, self.photos),
            points=model.num_points3D(),
            mean_reprojection_error_px=round(model.compute_mean_reprojection_error(), 4),
            seconds=seconds,
            cameras=len({model.images[i].camera_id for i in model.reg_image_ids()}),
            match_agreement=round(agreement, 4),
            photo_folder=output.relative(self.photo_folder, self.out),
            options=asdict(self.options),
            stages_run=self.stages_run,
        )


def _unregistered(model: pycolmap.Reconstruction, photos: Sequence[Photo]) -> list[str]:
    names = {model.images[i].name for i in model.reg_image_ids()}
    return [photo.name for photo in photos if photo.name not in names]


def _json(report: PoseReport) -> str:
    import json

    return json.dumps(report.to_json(), indent=1) + "\n"


def _check_space(out: Path, needed: int) -> None:
    free = shutil.disk_usage(out).free
    if free < needed:  # SQLite inside COLMAP would end the process, not raise
        raise NerfkitError(
            f"{out}: no space left for the features of these photos ({free >> 20} MB free, about {needed >> 20} MB "
            "needed); free some space or choose another --out"
        )


