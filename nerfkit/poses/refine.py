"""Given poses, adjusted to the verified matches of their photos: triangulation and bundle adjustment in turn.

What a phone's tracking or another program gives is off by centimetres and tenths of degrees, and most matches
contradict it at the few pixels that triangulation allows. So the first round allows as many pixels as the matches ask
for, under a robust loss, and later ones fewer: at 2 degrees and 3 % of the cameras' extent (fox) the first finds the
right basin, and two or three more settle. The given positions are priors, as wide as they turn out to be wrong; they
keep the scale, and hold photos with few matches. Results are brought back into the given frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.poses import check
from nerfkit.poses.anchoring import anchor, turns
from nerfkit.poses.triangulation import NARROW, triangulated
from nerfkit.poses.worker import Tell

Model = Any  # pycolmap.Reconstruction
Array = NDArray[np.float64]

_ROUNDS = 8
_WIDER = 6.0  # times the median error of the matches: what a round allows
_WIDEST = 0.1  # of the longer side
_SETTLED = 0.01  # pixels of the median error that another round at the narrowest must win
_FEWEST_SEEN = 20  # observations of a photo that is adjusted
_FEWEST_PHOTOS = 3
_SHARED = 10  # photos with one camera, from which on its focal length and distortion are adjusted too
_FOCAL = 0.2  # by how much of itself a focal length may change
_SAME_PLACE = 1e-6  # of the extent: photos of one panorama, or of one rig
_LOSS = 0.25  # of what a round allows: the scale of the Cauchy loss
_ITERATIONS = 40
_MEDIAN = 1.538  # the median length of a vector of three unit normals
_BETTER = 0.95  # times the median error of the matches: what adjusted poses must win, or else
_WON = 0.01  # share of the matches that agree
_ASTRAY = 0.3  # of the extent: cameras that moved further than that have nothing left of where they were given


@dataclass(frozen=True)
class Refinement:
    """What adjusting did. Positions are in the units of the given frame; ``kept`` names the photos that stay as given,
    ``refused`` says why all do. Of a refinement that was refused, the figures are what it would have been."""

    refused: str | None
    adjusted: int  # photos
    kept: list[str] = field(default_factory=list)
    position_median: float = 0.0
    position_max: float = 0.0
    position_percent_median: float = 0.0  # of the extent: the diagonal of the given cameras' bounding box
    rotation_deg_median: float = 0.0
    rotation_deg_max: float = 0.0
    focal_percent_max: float = 0.0  # by how much focal lengths changed at most
    rounds: int = 0
    match_error_px: tuple[float, float] = (0.0, 0.0)  # median over all verified matches: before, after
    agreement: tuple[float, float] = (0.0, 0.0)
    mean_reprojection_error_px: tuple[float | None, float | None] = (None, None)  # of the points found
    points: tuple[int, int] = (0, 0)


def refine(tell: Tell, before: Model, database: str, folder: str, scratch: str, seed: int) -> tuple[Model, Refinement]:
    """The model with adjusted poses and new points, and what was done; ``before`` itself where that is refused.

    Args:
        before: cameras in the given frame, with the points that triangulation finds with them as they are.
        database: features and verified matches, with the numbers of ``before``.
        folder: the photos.
        scratch: a folder for what pycolmap writes.
    """
    job = _Job(tell, before, database, folder, scratch, seed)
    try:
        after, rounds = job.rounds()
    except _NothingToAdjust as error:
        return before, Refinement(str(error), 0, sorted(image.name for image in before.images.values()))
    after, kept = job.put_back(after)
    result = _compared(before, after, database, kept, rounds)
    reason = _refused(result, check.pair_agreement(after, database).reversed)
    if reason is not None:
        return before, Refinement(**(vars(result) | {"refused": reason, "adjusted": 0}))
    return after, result


class _NothingToAdjust(Exception):
    """Too few photos have matches."""


class _Job:
    """The given cameras and what the rounds share."""

    def __init__(self, tell: Tell, before: Model, database: str, folder: str, scratch: str, seed: int) -> None:
        self.tell, self.before, self.database, self.folder = tell, before, database, folder
        self.scratch, self.seed = scratch, seed
        self.given = poses(before)
        self.extent = extent(self.given)
        self.side = max(max(camera.width, camera.height) for camera in before.cameras.values())
        self.groups = _groups(self.given, _SAME_PLACE * self.extent)

    def rounds(self) -> tuple[Model, int]:
        """Adjusts until nothing is gained; gives the model and the number of rounds."""
        model, done = self.before, 0
        error = _median(check.epipolar_errors(model, self.database))
        allowed = min(max(NARROW, _WIDER * error), _WIDEST * self.side)
        sigma = None
        for done in range(1, _ROUNDS + 1):
            model = triangulated(model, self.database, self.folder, self.scratch, self.seed, allowed)
            adjusted = [number for number in self.given if model.image(number).num_points3D >= _FEWEST_SEEN]
            if len(adjusted) < _FEWEST_PHOTOS:
                raise _NothingToAdjust(f"only {len(adjusted)} photos have enough matches")
            reach = _reach(model, adjusted)
            sigma = sigma or max(reach * allowed / self.side, 1e-9 * self.extent)
            self.adjust(model, adjusted, allowed, sigma)
            self.bring_back(model, adjusted, reach)
            moved = [np.linalg.norm(_center(model, number) - self.given[number][:3, 3]) for number in adjusted]
            sigma = max(2 * float(np.median(moved)) / _MEDIAN, 1e-6 * self.extent)
            last, error = error, _median(check.epipolar_errors(model, self.database))
            self.tell(done, _ROUNDS)
            if allowed <= NARROW and error > last - _SETTLED:
                break
            allowed = max(NARROW, min(_WIDER * error, allowed / 2))
        return model, done

    def adjust(self, model: Model, adjusted: Sequence[int], allowed: float, sigma: float) -> None:
        """Bundle adjustment of the photos ``adjusted``, with the given positions as priors of deviation ``sigma``."""
        import pycolmap

        options = pycolmap.BundleAdjustmentOptions()
        options.print_summary = False
        options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
        options.ceres.loss_function_scale = max(1.0, _LOSS * allowed)
        options.ceres.solver_options.max_num_iterations = _ITERATIONS
        options.ceres.solver_options.function_tolerance = 1e-5
        config, priors = pycolmap.BundleAdjustmentConfig(), []
        cameras: dict[int, int] = {}
        for number in adjusted:
            image = model.image(number)
            config.add_image(number)
            cameras[image.camera_id] = cameras.get(image.camera_id, 0) + 1
            prior = pycolmap.PosePrior()
            prior.corr_data_id, prior.position = image.data_id, self.given[number][:3, 3]
            prior.position_covariance = np.eye(3) * sigma**2
            prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
            priors.append(prior)
        for camera, photos in cameras.items():
            if photos < _SHARED or self.groups:  # the views of panoramas are exact
                config.set_constant_cam_intrinsics(camera)
        known = pycolmap.PosePriorBundleAdjustmentOptions()
        known.alignment_ransac.random_seed = self.seed
        known.ceres.prior_position_loss_function_type = pycolmap.LossFunctionType.CAUCHY
        pycolmap.create_pose_prior_bundle_adjuster(options, known, config, priors, model).solve()

    def bring_back(self, model: Model, adjusted: Sequence[int], reach: float) -> None:
        """Brings a model into the given frame, with the photos that weren't adjusted as given, and those of one place
        as they were to each other."""
        import pycolmap

        found = poses(model)
        given = np.stack([self.given[number] for number in adjusted])
        world = anchor(given, np.stack([found[number] for number in adjusted]), reach)
        model.transform(pycolmap.Sim3d(world.matrix()))
        found = poses(model)
        for number in set(self.given) - set(adjusted):
            set_pose(model, number, self.given[number])
        for group in self.groups:
            free = [number for number in group if number in adjusted]
            if free:
                weights = np.array([model.image(number).num_points3D for number in free], float)
                rig_from_cam = {number: np.linalg.inv(self.given[group[0]]) @ self.given[number] for number in group}
                rigs = np.stack([found[number] @ np.linalg.inv(rig_from_cam[number]) for number in free])
                rig = _mean_pose(rigs, weights)
                for number in group:
                    set_pose(model, number, rig @ rig_from_cam[number])

    def put_back(self, model: Model) -> tuple[Model, list[int]]:
        """The model, with points anew, whose photos that could not be adjusted, since most of their matches contradict
        where they are or they have too few, are as given; and these."""
        final = triangulated(model, self.database, self.folder, self.scratch, self.seed)
        stray = set(check.strays(check.pair_agreement(final, self.database)))
        kept = [
            number for number in self.given
            if number in stray or (final.image(number).num_points3D < _FEWEST_SEEN and not self._grouped(number))
        ]  # fmt: skip
        if kept:
            for number in kept:
                set_pose(final, number, self.given[number])
            final = triangulated(final, self.database, self.folder, self.scratch, self.seed)
        return final, kept

    def _grouped(self, number: int) -> bool:
        return any(number in group for group in self.groups)


def poses(model: Model) -> dict[int, Array]:
    """world_from_cam [4, 4] of all images, by number."""
    found = {}
    for number in sorted(model.images):
        pose = np.eye(4)
        pose[:3] = model.image(number).cam_from_world().inverse().matrix()
        found[number] = pose
    return found


def set_pose(model: Model, number: int, world_from_cam: Array) -> None:
    """Places an image, the only one of its frame."""
    import pycolmap

    pose = np.linalg.inv(world_from_cam)
    rotation = pycolmap.Rotation3d(pose[:3, :3])
    model.frame(model.image(number).frame_id).rig_from_world = pycolmap.Rigid3d(rotation, pose[:3, 3])


def extent(known: dict[int, Array]) -> float:
    """The diagonal of the bounding box of camera positions."""
    places = np.stack([pose[:3, 3] for pose in known.values()])
    return float(np.linalg.norm(places.max(0) - places.min(0)))


def _compared(before: Model, after: Model, database: str, kept: Iterable[int], rounds: int) -> Refinement:
    given, found = poses(before), poses(after)
    put_back = set(kept)
    numbers = [number for number in given if number not in put_back]
    names = sorted(after.image(number).name for number in put_back)
    old, new = (np.array([known[number] for number in numbers]).reshape(-1, 4, 4) for known in (given, found))
    moved = np.linalg.norm(old[:, :3, 3] - new[:, :3, 3], axis=1)
    turned = turns(old, new)
    size = max(extent(given), 1e-12)
    focals = [
        abs(after.cameras[number].mean_focal_length() / camera.mean_focal_length() - 1)
        for number, camera in before.cameras.items()
    ]
    both = (before, after)
    return Refinement(
        refused=None,
        adjusted=len(numbers),
        kept=names,
        position_median=_median(moved),
        position_max=float(moved.max(initial=0)),
        position_percent_median=100 * _median(moved) / size,
        rotation_deg_median=_median(turned),
        rotation_deg_max=float(turned.max(initial=0)),
        focal_percent_max=100 * max(focals),
        rounds=rounds,
        match_error_px=tuple(_median(check.epipolar_errors(model, database)) for model in both),  # type: ignore[arg-type]
        agreement=tuple(check.agreement(model, database) for model in both),  # type: ignore[arg-type]
        mean_reprojection_error_px=tuple(reprojection_error(model) for model in both),  # type: ignore[arg-type]
        points=tuple(model.num_points3D() for model in both),  # type: ignore[arg-type]
    )


def _refused(result: Refinement, reversed_share: float) -> str | None:
    """Why a result is not believed."""
    (error, error_after), (share, share_after) = result.match_error_px, result.agreement
    if result.adjusted < _FEWEST_PHOTOS:
        return f"only {result.adjusted} photos could be adjusted"
    if share_after < share - _WON or error_after > error / _BETTER:
        return (
            f"the matches would fit less well: {100 * share_after:.0f} % of them in place of {100 * share:.0f} %, "
            f"{error_after:.2f} px off in place of {error:.2f} px"
        )
    if error_after > _BETTER * error and share_after < share + _WON:
        return f"they fit the matches as well as they can, {error:.2f} px off"
    if reversed_share > check.REVERSED:
        return f"{100 * reversed_share:.0f} % of the matches would meet behind the cameras"
    if result.position_percent_median > 100 * _ASTRAY:
        return f"cameras would move by {result.position_percent_median:.0f} % of their extent"
    if result.focal_percent_max > 100 * _FOCAL:
        return f"a focal length would change by {result.focal_percent_max:.0f} %"
    return None


def reprojection_error(model: Model) -> float | None:
    """The mean over the observations of a model, pixels; None without points."""
    return float(model.compute_mean_reprojection_error()) if model.num_points3D() else None


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


def _median(values: Array | Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else 0.0
