"""One model from verified matches, by pycolmap: mapped, checked, and mapped again where it looks wrong.

Incremental mapping comes first, since it is right most often. Where its model is doubtful
(:mod:`nerfkit.poses.check`), another start is tried; a model is believed when nothing speaks against it, or when
another start leads to the same one. Where few photos fit together, thresholds are relaxed, and then global mapping
has a try.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from nerfkit.poses import check, colors, repeatable, submodels
from nerfkit.poses.options import FEWEST_SHARE
from nerfkit.poses.worker import Tell

Model = Any  # pycolmap.Reconstruction

ADJUSTING, CHECKING, COLORS = "adjusting", "checking", "colours"  # what is done once all photos are placed


@dataclass(frozen=True)
class Way:
    """One way to map."""

    mapper: str  # incremental or global
    start: int  # added to the seed
    relaxed: bool = False  # half of COLMAP's own thresholds, for photos with little texture or overlap

    @property
    def words(self) -> str:
        return f"{self.mapper} mapping" + (" with relaxed thresholds" if self.relaxed else f", start {self.start + 1}")


@dataclass
class Solution:
    """What one way found."""

    model: Model
    verdict: check.Verdict
    few: bool
    groups: list[list[str]] = field(default_factory=list)  # names of photos that only fit among themselves
    confirmed: bool = False  # another way leads to the same model

    @property
    def good(self) -> bool:
        return not self.few and (not self.verdict.doubts or self.confirmed)

    @property
    def rank(self) -> tuple[Any, ...]:
        return self.good, not self.few, not self.verdict.doubts, self.model.num_reg_images(), self.verdict.agreement


def work(
    tell: Tell, database: str, folder: str, output: str, photos: int, seed: int, relaxed: bool = False,
    focals: Mapping[str, float] | None = None, first: str = "incremental", rig: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """Maps, checks, maps in other ways while the model looks wrong or small, and writes the best into ``output``.

    ``focals`` are focal lengths by EXIF, in pixels, by name; ``first`` is the mapper that begins; ``relaxed`` relaxes
    its thresholds from the start; the cameras of a ``rig`` are known and stay as they are. Gives the registered photos'
    names, counts, the mean reprojection error in pixels, the share of agreeing matches, the ``doubts`` that remain, and
    the ``groups`` of photos that only fit among themselves; ``registered`` is empty where there is no model.
    """
    job = _Job(tell, database, folder, Path(output), photos, seed, dict(focals or {}), rig)
    found: list[Solution] = []
    attempts = 0
    for way in _ways(first, relaxed, found):
        if rig and way.mapper == "global":
            continue  # it calibrates, and the views of a panorama are known
        attempts += 1
        if attempts > 1:
            tell.say(f"{_trouble(found, photos)}: trying {way.words}")
        solution = job.solve(way)
        if solution is None:
            continue
        for other in found:
            if check.same(other.model, solution.model):
                other.confirmed = solution.confirmed = True
        found.append(solution)
        if solution.good:
            break
    if not found:
        return {"registered": [], "doubts": [], "groups": [], "agreement": 0.0}
    best = max(found, key=lambda solution: solution.rank)
    job.drop_strays(best)
    colors.paint(best.model, Path(folder), partial(tell.step, COLORS))
    Path(output).mkdir(parents=True, exist_ok=True)
    best.model.write(output)
    registered = [image for image in best.model.images.values() if image.has_pose]
    return {
        "registered": sorted(image.name for image in registered),
        "points": best.model.num_points3D(),
        "cameras": len({image.camera_id for image in registered}),
        "mean_reprojection_error_px": best.model.compute_mean_reprojection_error(),
        "agreement": best.verdict.agreement,
        "doubts": [] if best.confirmed else best.verdict.doubts,
        "groups": best.groups,
        "attempts": attempts,
    }


def _ways(first: str, relaxed: bool, found: list[Solution]) -> Iterator[Way]:
    """The ways in which to map, while none of those ``found`` is good: which come next depends on them."""
    yield Way(first, 0, relaxed)
    few = not found or found[-1].few
    if few:
        yield Way("incremental", 1, relaxed=True)
        yield Way("global", 0)
    else:
        yield Way("incremental", 1)
        yield Way("incremental", 2)


def _trouble(found: list[Solution], photos: int) -> str:
    if not found:
        return "no photos fit together"
    if found[-1].few:
        return f"only {found[-1].model.num_reg_images()} of {photos} photos fit together"
    return "the poses look wrong (" + "; ".join(found[-1].verdict.doubts) + ")"


@dataclass
class _Job:
    """What the ways share."""

    tell: Tell
    database: str
    folder: str
    output: Path
    photos: int
    seed: int
    focals: dict[str, float]
    rig: bool
    adjusting: bool = False  # all photos are placed, and that was told

    def solve(self, way: Way) -> Solution | None:
        """The model that one way finds; None: there is none."""
        scratch = self.output.with_name(f"{self.output.name}-scratch")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        self.tell(0, self.photos)
        self.adjusting = False
        models = self.incremental(way, scratch) if way.mapper == "incremental" else self.globally(way, scratch)
        if not models:
            return None
        self.tell(self.photos, self.photos)
        self.tell_of_adjusting()
        model, left = submodels.joined(models, self.database, self.folder, scratch / "joined", self.seed + way.start)
        shutil.rmtree(scratch)
        self.tell.step(ADJUSTING, 1, 1)
        self.tell.step(CHECKING, 0, 1)
        few = model.num_reg_images() < FEWEST_SHARE * self.photos
        verdict = check.verdict(model, self.database, self.focals)
        self.tell.step(CHECKING, 1, 1)
        return Solution(model, verdict, few, submodels.groups(left, model))

    def tell_of_adjusting(self) -> None:
        """Once, whether the mapper or its end was first to know that all photos are placed."""
        if not self.adjusting:
            self.adjusting = True
            self.tell.step(ADJUSTING, 0, 1)

    def incremental(self, way: Way, scratch: Path) -> list[Model]:
        import pycolmap

        options = repeatable.pipeline(self.seed + way.start, self.photos)
        options.min_model_size = 3  # small captures are welcome
        options.extract_colors = False  # those of nerfkit.poses.colors
        # A third of the mapper's time goes into adjusting what the next photos move again: all is adjusted after 70 %
        # more photos or points in place of 10 %, in fewer rounds. The poses rest on the adjustment at the end.
        options.ba_global_frames_ratio = options.ba_global_points_ratio = 1.7
        options.ba_global_max_refinements, options.ba_local_max_refinements = 2, 1
        options.ba_global_max_num_iterations, options.ba_local_max_num_iterations = 20, 15
        options.ba_global_function_tolerance, options.ba_local_function_tolerance = 1e-6, 1e-5
        if self.rig:
            options.ba_refine_focal_length = options.ba_refine_extra_params = options.ba_refine_sensor_from_rig = False
            options.mapper.abs_pose_refine_focal_length = options.mapper.abs_pose_refine_extra_params = False
        if way.relaxed:
            options.mapper.init_min_num_inliers = 50
            options.mapper.init_min_tri_angle = 8.0
            options.mapper.abs_pose_min_num_inliers = 15
        registered = 0

        def one_more(by: int) -> None:
            nonlocal registered
            registered = min(registered + by, self.photos)
            self.tell(registered, self.photos)
            if registered == self.photos:  # what COLMAP does from here on has no callbacks
                self.tell_of_adjusting()

        models = pycolmap.incremental_mapping(
            self.database, self.folder, scratch, options,
            initial_image_pair_callback=lambda: one_more(2), next_image_callback=lambda: one_more(1),
        )  # fmt: skip
        return list(models.values())

    def globally(self, way: Way, scratch: Path) -> list[Model]:
        """Global mapping, on a copy of the database in which the view graph calibrates the focal lengths."""
        import pycolmap

        database = scratch / "calibrated.db"
        shutil.copyfile(self.database, database)
        calibration, options = pycolmap.ViewGraphCalibrationOptions(), pycolmap.GlobalPipelineOptions()
        calibration.random_seed = options.random_seed = self.seed + way.start
        options.num_threads = options.mapper.num_threads = repeatable.threads(self.photos)
        pycolmap.calibrate_view_graph(database, calibration)
        return list(pycolmap.global_mapping(database, self.folder, scratch, options).values())

    def drop_strays(self, solution: Solution) -> None:
        """Takes photos in wrong places out of a model that is right as a whole."""
        import pycolmap

        model, pairs = solution.model, solution.verdict.pairs
        strays = check.strays(pairs)
        if not strays or pairs.without(strays).share < check.SUSPICIOUS:
            return
        for number in strays:
            self.tell.say(f"{model.images[number].name}: left out, most of its matches contradict its pose")
            model.deregister_frame(model.images[number].frame_id)
        options = repeatable.adjustment(self.photos)
        if self.rig:
            options.refine_focal_length = options.refine_extra_params = options.refine_sensor_from_rig = False
        pycolmap.bundle_adjustment(model, options)
        solution.verdict = check.verdict(model, self.database, self.focals)
