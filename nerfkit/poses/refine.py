"""Given poses, adjusted to the verified matches of their photos: triangulation and bundle adjustment in turn.

What a phone's tracking or another program gives is off by centimetres and tenths of degrees, and most matches
contradict it at the few pixels that triangulation allows. So the first round allows as many pixels as the matches ask
for, under a robust loss, and later ones fewer: at 2 degrees and 3 % of the cameras' extent (fox) the first finds the
right basin, and two or three more settle. The given positions are priors, as wide as they turn out to be wrong; they
keep the scale, and hold photos with few matches. A photo that is far from where it was given, as after a jump of the
tracking, is placed anew by the points of the others. Results are brought back into the given frame.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.poses import check, repeatable
from nerfkit.poses.anchoring import anchor
from nerfkit.poses.placing import extent, poses, set_pose
from nerfkit.poses.refinement import BETTER, FEWEST_PHOTOS, Refinement, compared, refused
from nerfkit.poses.relocate import relocate
from nerfkit.poses.triangulation import NARROW, triangulated
from nerfkit.poses.worker import Tell

Model = Any  # pycolmap.Reconstruction
Array = NDArray[np.float64]

_ROUNDS = 8
_WIDER = 6.0  # times the median error of the matches: what a round allows
_WIDEST = 0.1  # of the longer side
_SETTLED = 0.01  # pixels of the median error that another round at the narrowest must win
_FEWEST_SEEN = 20  # observations of a photo that is adjusted
_SHARED = 10  # photos with one camera, from which on its focal length and distortion are adjusted too
_SAME_PLACE = 1e-6  # of the extent: photos of one panorama, or of one rig
_LOSS = 0.25  # of what a round allows: the scale of the Cauchy loss
_LENSES = 3  # rounds with distortion, where there was none
_ITERATIONS = 40
_MEDIAN = 1.538  # the median length of a vector of three unit normals


def refine(
    tell: Tell, before: Model, fit: check.Fit, database: str, scratch: str, seed: int
) -> tuple[Model, Refinement]:
    """The model with adjusted poses and new points, and what was done; ``before`` itself where that is refused.

    Args:
        before: cameras in the given frame, with the points that triangulation finds with them as they are.
        fit: of the matches to ``before``.
        database: features and verified matches, with the numbers of ``before``.
        scratch: a folder for what pycolmap writes.
    """
    job = _Job(tell, before, fit, database, scratch, seed)
    try:
        after, rounds = job.rounds()
    except _NothingToAdjust as error:
        return before, Refinement(str(error), 0, sorted(image.name for image in before.images.values()))
    after, fit_after, kept = job.put_back(after)
    lost = [number for number in job.lost if number not in kept]
    result = compared(before, after, (fit, fit_after), kept, lost, rounds)
    reason = refused(result, fit_after.pairs.reversed)
    if reason is not None:
        return before, Refinement(**(vars(result) | {"refused": reason, "adjusted": 0}))
    return after, result


class _NothingToAdjust(Exception):
    """Too few photos have matches."""


class _Job:
    """The given cameras and what the rounds share."""

    def __init__(self, tell: Tell, before: Model, fit: check.Fit, database: str, scratch: str, seed: int) -> None:
        self.tell, self.before, self.fit, self.database = tell, before, fit, database
        self.scratch, self.seed = scratch, seed
        self.given = poses(before)
        self.extent = extent(self.given)
        self.side = max(max(camera.width, camera.height) for camera in before.cameras.values())
        self.groups = _groups(self.given, _SAME_PLACE * self.extent)
        self.sigma: float | None = None
        self.adjusted: list[int] = []  # photos with matches, in the latest round
        self.lost: list[int] = []  # photos that were given far from where they are

    def rounds(self) -> tuple[Model, int]:
        """Adjusts until nothing is gained; gives the model and the number of rounds."""
        model, done = self.before, 0
        error = self.fit.error
        allowed = min(max(NARROW, _WIDER * error), _WIDEST * self.side)
        for done in range(1, _ROUNDS + 1):
            model = self.round(model, allowed)
            last, error = error, self.error(model)
            self.tell(done, _ROUNDS)
            if allowed <= NARROW and error > last - _SETTLED and not self.relocates(model):
                break
            allowed = max(NARROW, min(_WIDER * error, allowed / 2))
        return self.with_distortion(model, error), done

    def error(self, model: Model) -> float:
        return check.fit(model, self.database).error

    def round(self, model: Model, allowed: float) -> Model:
        """The model with points within ``allowed`` pixels, adjusted once."""
        model = triangulated(model, self.database, self.scratch, self.seed, allowed)
        self.adjusted = [number for number in self.given if model.image(number).num_points3D >= _FEWEST_SEEN]
        if len(self.adjusted) < FEWEST_PHOTOS:
            raise _NothingToAdjust(f"only {len(self.adjusted)} photos have enough matches")
        reach = _reach(model, self.adjusted)
        self.sigma = self.sigma or max(reach * allowed / self.side, 1e-9 * self.extent)
        self.adjust(model, allowed, self.sigma)
        self.bring_back(model, reach)
        moved = [np.linalg.norm(_center(model, number) - self.given[number][:3, 3]) for number in self.adjusted]
        self.sigma = max(2 * float(np.median(moved)) / _MEDIAN, 1e-6 * self.extent)
        return model

    def relocates(self, model: Model) -> bool:
        """Places photos that are far off anew, once; whether there were any."""
        if self.lost:
            return False
        self.lost = relocate(model, self.database, self.seed, [number for group in self.groups for number in group])
        return bool(self.lost)

    def with_distortion(self, model: Model, error: float) -> Model:
        """The model with distorted cameras, where the source has none for them and the matches, which are ``error``
        pixels off, clearly ask for it."""
        straight = [number for number in self.shared(model) if model.cameras[number].model.name == "PINHOLE"]
        if not straight:
            return model
        bent, adjusted = copy.deepcopy(model), self.adjusted
        for number in straight:
            _distort(bent.cameras[number])
        self.know_cameras(bent)
        for _ in range(_LENSES):
            bent = self.round(bent, max(NARROW, _WIDER * self.error(bent)))
        if self.error(bent) < BETTER * error:
            return bent
        self.know_cameras(model)
        self.adjusted = adjusted
        return model

    def know_cameras(self, model: Model) -> None:
        """Writes cameras into the database, whose kinds must be those of the model."""
        import pycolmap

        with pycolmap.Database.open(self.database) as filled:
            for camera in model.cameras.values():
                filled.update_camera(camera)

    def shared(self, model: Model) -> list[int]:
        """The cameras whose intrinsics are adjusted: of many photos, and not of panoramas' views, which are exact."""
        photos = [model.image(number).camera_id for number in self.adjusted]
        return [number for number in model.cameras if photos.count(number) >= _SHARED and not self.groups]

    def adjust(self, model: Model, allowed: float, sigma: float) -> None:
        """Bundle adjustment of the photos with matches, the given positions as priors of deviation ``sigma``."""
        import pycolmap

        options = repeatable.adjustment(len(self.given))
        options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
        options.ceres.loss_function_scale = max(1.0, _LOSS * allowed)
        options.ceres.solver_options.max_num_iterations = _ITERATIONS
        options.ceres.solver_options.function_tolerance = 1e-5
        config, priors = pycolmap.BundleAdjustmentConfig(), []
        for number in self.adjusted:
            config.add_image(number)
            if number in self.lost:
                continue
            prior = pycolmap.PosePrior()
            prior.corr_data_id, prior.position = model.image(number).data_id, self.given[number][:3, 3]
            prior.position_covariance = np.eye(3) * sigma**2
            prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
            priors.append(prior)
        for camera in {model.image(number).camera_id for number in self.adjusted}.difference(self.shared(model)):
            config.set_constant_cam_intrinsics(camera)
        known = pycolmap.PosePriorBundleAdjustmentOptions()
        known.alignment_ransac.random_seed = self.seed
        known.ceres.prior_position_loss_function_type = pycolmap.LossFunctionType.CAUCHY
        pycolmap.create_pose_prior_bundle_adjuster(options, known, config, priors, model).solve()

    def bring_back(self, model: Model, reach: float) -> None:
        """Brings a model into the given frame, with the photos that weren't adjusted as given, and those of one place
        as they were to each other."""
        import pycolmap

        found = poses(model)
        near = [number for number in self.adjusted if number not in self.lost] or self.adjusted
        given, placed = (np.stack([known[number] for number in near]) for known in (self.given, found))
        world = anchor(given, placed, reach)
        model.transform(pycolmap.Sim3d(world.matrix()))
        found = poses(model)
        for number in set(self.given) - set(self.adjusted):
            set_pose(model, number, self.given[number])
        for group in self.groups:
            free = [number for number in group if number in self.adjusted]
            if free:
                weights = np.array([model.image(number).num_points3D for number in free], float)
                rig_from_cam = {number: np.linalg.inv(self.given[group[0]]) @ self.given[number] for number in group}
                rigs = np.stack([found[number] @ np.linalg.inv(rig_from_cam[number]) for number in free])
                rig = _mean_pose(rigs, weights)
                for number in group:
                    set_pose(model, number, rig @ rig_from_cam[number])

    def put_back(self, model: Model) -> tuple[Model, check.Fit, list[int]]:
        """The model, with points anew, whose photos that could not be adjusted, since most of their matches contradict
        where they are or they have too few, are as given; how the matches fit it; and these photos."""
        final = triangulated(model, self.database, self.scratch, self.seed)
        fit = check.fit(final, self.database)
        stray = set(check.strays(fit.pairs))
        grouped = {number for group in self.groups for number in group}
        seen = {number for number in self.adjusted if final.image(number).num_points3D >= _FEWEST_SEEN}
        kept = [number for number in self.given if number not in grouped and (number in stray or number not in seen)]
        if kept:
            for number in kept:
                set_pose(final, number, self.given[number])
            final = triangulated(final, self.database, self.scratch, self.seed)
            fit = check.fit(final, self.database)
        return final, fit, kept


def _distort(camera: Any) -> None:
    """Makes a pinhole camera one with distortion, of which it has none yet."""
    import pycolmap

    params = [*camera.params, 0, 0, 0, 0]
    camera.model = pycolmap.CameraModelId.OPENCV
    camera.params = params


def _groups(given: dict[int, Array], same: float) -> list[list[int]]:
    """The images that stand in one place with others: panoramas' views."""
    found: list[list[int]] = []
    for number, pose in given.items():
        for group in found:
            if np.linalg.norm(given[group[0]][:3, 3] - pose[:3, 3]) <= same:
                group.append(number)
                break
        else:
            found.append([number])
    return [group for group in found if len(group) > 1]


def _mean_pose(poses: Array, weights: Array) -> Array:
    """The weighted mean of rigid poses [N, 4, 4]; of rotations the chordal one."""
    weights = weights / weights.sum()
    u, _, vt = np.linalg.svd(np.einsum("n,nij->ij", weights, poses[:, :3, :3]))
    mean = np.eye(4)
    mean[:3, :3] = u * np.array([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    mean[:3, 3] = weights @ poses[:, :3, 3]
    return mean


def _center(model: Model, number: int) -> Array:
    return np.asarray(model.image(number).projection_center())


def _reach(model: Model, numbers: Sequence[int]) -> float:
    """The median distance of cameras to points that they see."""
    wanted = set(numbers)
    centers = {number: _center(model, number) for number in numbers}
    distances = [
        float(np.linalg.norm(point.xyz - centers[element.image_id]))
        for point in list(model.points3D.values())[:5000]
        for element in point.track.elements
        if element.image_id in wanted
    ]
    return float(np.median(distances))
