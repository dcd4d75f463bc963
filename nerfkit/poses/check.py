"""Is a model right? What the verified matches, EXIF and the cameras themselves say about it.

A low reprojection error and all photos registered don't prove a model right: the mapper drops the matches that
contradict it. What tells is how many of all verified matches agree with the final poses: 95 % in right models of
real photos, 84 % in one bent by an unlucky start. A model turned inside out (each point on the other side of its
cameras, as when all depths are reversed) satisfies the same epipolar geometry: it is told by where matches meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.poses.advice import LEAST_AGREEMENT
from nerfkit.poses.checks import some

Model = Any  # pycolmap.Reconstruction
Floats = NDArray[np.float64]

SUSPICIOUS = LEAST_AGREEMENT  # share of agreeing matches below which a model is doubtful
SAME = 0.01  # of the extent: camera positions of two models that agree with each other
REVERSED = 0.02  # share of matches that meet behind a camera above which a model is doubtful: 0.05 % in right ones
STRAY = 0.5  # share of a photo's own matches below which it was put into a wrong place
_MAX_ERROR = 4.0  # pixels, as the verification has it
_STRONG = 100  # matches of a pair that is right: of those with 30, a fifth can be wrong (fox)
_CONTRADICTED = 0.03  # share of strong pairs that may disagree: 0 to 1 % in right models, 4 % in one 1.4 % off
_FOCAL = (0.7, 1.4)  # times EXIF's
_MOST = 0.9  # of the photos
_TRIMS = 5
_MEASURED = 30_000  # matches of which it is looked where they meet
_ANGLE = 1.0  # degrees between the rays of a match: below, noise of a pixel can turn the sign of its depth
_SAME_PLACE = 1e-9  # of the distance to the origin
_FAR = 20.0  # times the usual distance between photos that match


@dataclass(frozen=True)
class PairAgreement:
    """For each verified pair of registered photos, [P] each: image numbers, agreeing matches and all matches; how many
    of the agreeing ones were ``measured``, a sample, and how many of these clearly meet ``behind`` a camera."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    agreeing: NDArray[np.int64]
    matches: NDArray[np.int64]
    measured: NDArray[np.int64]
    behind: NDArray[np.int64]

    @property
    def share(self) -> float:
        """Share of all matches that agree with the poses; 0 where there are none."""
        return float(self.agreeing.sum() / self.matches.sum()) if len(self.matches) else 0.0

    @property
    def contradicted(self) -> float:
        """Share of the pairs with many matches of which most disagree."""
        strong = self.matches >= _STRONG
        return float((2 * self.agreeing < self.matches)[strong].mean()) if strong.any() else 0.0

    @property
    def reversed(self) -> float:
        """Share of the measured matches that meet behind a camera; 0 where none were measured.

        Those with rays nearly parallel count as right: where all are, the few wide ones are wrong matches.
        """
        return float(self.behind.sum() / self.measured.sum()) if self.measured.sum() else 0.0

    def without(self, images: list[int]) -> PairAgreement:
        """The pairs that have none of these images."""
        kept = ~(np.isin(self.first, images) | np.isin(self.second, images))
        return PairAgreement(*(getattr(self, field.name)[kept] for field in fields(self)))

    def by_image(self) -> dict[int, float]:
        """The share of agreeing matches of each photo that has any."""
        number, index = np.unique(np.concatenate([self.first, self.second]), return_inverse=True)
        agreeing = np.bincount(index, np.tile(self.agreeing, 2), len(number))
        matches = np.bincount(index, np.tile(self.matches, 2), len(number))
        return {int(one): float(share) for one, share in zip(number, agreeing / matches)}


@dataclass(frozen=True)
class Fit:
    """How well the verified matches between registered photos fit a model's poses."""

    pairs: PairAgreement
    errors: Floats  # [M] Sampson errors of all matches, pixels

    @property
    def error(self) -> float:
        return median(self.errors)


@dataclass(frozen=True)
class Verdict:
    """``doubts`` are reasons to distrust a model, in words; none: it looks right."""

    pairs: PairAgreement
    doubts: list[str]

    @property
    def agreement(self) -> float:
        return self.pairs.share


def verdict(model: Model, database: str, focals: Mapping[str, float]) -> Verdict:
    """Looks for signs that a model is wrong. ``focals`` are focal lengths in pixels by EXIF, by the photos' names."""
    pairs = pair_agreement(model, database)
    doubts = []
    if pairs.share < SUSPICIOUS:
        doubts.append(f"only {100 * pairs.share:.0f} % of the matches agree with the poses")
    elif pairs.contradicted > _CONTRADICTED:
        doubts.append(f"{100 * pairs.contradicted:.0f} % of the pairs with many matches contradict the poses")
    if pairs.reversed > REVERSED:
        doubts.append(f"{100 * pairs.reversed:.0f} % of the matches meet behind the cameras")
    wrong = sorted(model.images[number].name for number in strays(pairs))
    if wrong:
        doubts.append(f"most matches contradict the poses of {some(wrong)}")
    doubts += focal_doubts(model, focals)
    far = far_cameras(model, pairs)
    if far:
        doubts.append(f"far from the photos that they match: {some(far)}")
    return Verdict(pairs, doubts)


def pair_agreement(model: Model, database: str) -> PairAgreement:
    """How many of each pair's verified matches agree with the model's poses."""
    return fit(model, database).pairs


def fit(model: Model, database: str) -> Fit:
    """How well the verified matches fit the model's poses, in one pass over them.

    A match agrees when its Sampson error under the essential matrix of the two poses (Hartley and Zisserman,
    2nd ed., eq. 11.9) is below 4 pixels. Where its rays are nearest to each other, it must lie in front of both cameras
    (their "cheirality", ch. 21); that is looked at for some tens of thousands of matches, as many of each pair.
    """
    rows, errors = [], [np.zeros(0)]
    pairs = list(_verified(model, database))
    sample = max(1, _MEASURED // max(1, len(pairs)))
    for pair in pairs:
        squared = _sampson(pair.two_from_one, pair.one, pair.two)
        errors.append(pair.focal * np.sqrt(squared))
        agreeing = np.flatnonzero(squared < (_MAX_ERROR / pair.focal) ** 2)
        picked = agreeing[:: -(-len(agreeing) // sample) or 1]
        wide, in_front = depth_signs(pair.two_from_one, pair.one[picked], pair.two[picked])
        behind = int((wide & ~in_front).sum())
        rows.append((pair.first, pair.second, len(agreeing), len(pair.one), len(picked), behind))
    return Fit(PairAgreement(*np.array(rows, dtype=np.int64).reshape(-1, 6).T), np.concatenate(errors))


def median(values: Floats) -> float:
    """0 of none."""
    return float(np.median(values)) if len(values) else 0.0


@dataclass(frozen=True)
class _Pair:
    """The verified matches [M, 2] of two registered photos as normalised image points, and the poses' part in them."""

    first: int  # numbers of the images
    second: int
    two_from_one: Floats  # [3, 4]
    one: Floats
    two: Floats
    focal: float  # pixels, the mean of both


def _verified(model: Model, database: str) -> Iterator[_Pair]:
    """All pairs but those taken from one place, as views of one panorama: every match agrees with their poses."""
    import pycolmap

    with pycolmap.Database.open(database) as filled:
        pairs, geometries = filled.read_two_view_geometries()
        rays = {
            number: np.asarray(image.camera.cam_from_img(filled.read_keypoints(number)[:, :2].astype(float)))  # [N, 2]
            for number, image in model.images.items()
            if image.has_pose
        }
    for pair, geometry in zip(pairs, geometries):
        first, second = pycolmap.pair_id_to_image_pair(pair)
        matches = geometry.inlier_matches
        if first not in rays or second not in rays or len(matches) == 0:
            continue
        one, two = model.images[first], model.images[second]
        here, there = one.projection_center(), two.projection_center()
        if np.linalg.norm(here - there) <= _SAME_PLACE * max(np.linalg.norm(here), np.linalg.norm(there)):
            continue
        yield _Pair(
            first, second, (two.cam_from_world() * one.cam_from_world().inverse()).matrix(),
            rays[first][matches[:, 0]], rays[second][matches[:, 1]],
            (one.camera.mean_focal_length() + two.camera.mean_focal_length()) / 2,
        )  # fmt: skip


def depth_signs(
    two_from_one: Floats, rays_one: Floats, rays_two: Floats
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Of matches, as normalised image points [M, 2] of two cameras: whether their rays are at an angle of more than a
    degree [M], and whether they are nearest to each other in front of both cameras [M]."""
    rotation, translation = two_from_one[:, :3], two_from_one[:, 3]
    one = _unit(np.column_stack([rays_one, np.ones(len(rays_one))]))
    two = _unit(np.column_stack([rays_two, np.ones(len(rays_two))]) @ rotation)  # in the first camera's frame
    baseline = -translation @ rotation
    cosine, along_one, along_two = (one * two).sum(1), one @ baseline, two @ baseline
    # Depths along the rays, times the (positive) squared sine of their angle.
    in_front = (along_one - cosine * along_two > 0) & (cosine * along_one - along_two > 0)
    return 1 - cosine**2 > np.sin(np.radians(_ANGLE)) ** 2, in_front


def focal_doubts(model: Model, focals: Mapping[str, float]) -> list[str]:
    """Cameras whose focal length is far from what EXIF says."""
    ratios: dict[int, list[float]] = {}
    for image in model.images.values():
        if image.has_pose and image.name in focals:
            ratios.setdefault(image.camera_id, []).append(image.camera.mean_focal_length() / focals[image.name])
    doubts = []
    for ratio in (float(np.median(one)) for one in ratios.values()):
        if not _FOCAL[0] <= ratio <= _FOCAL[1]:
            doubts.append(f"a focal length is {ratio:.2f} times what EXIF says")
    return doubts


def far_cameras(model: Model, pairs: PairAgreement) -> list[str]:
    """Names of photos that lie much further from all photos they match than photos that match usually do."""
    strong = pairs.matches >= _STRONG
    if not strong.any():
        return []
    centers = {number: image.projection_center() for number, image in model.images.items() if image.has_pose}
    ends = list(zip(pairs.first[strong], pairs.second[strong]))
    distances = np.array([np.linalg.norm(centers[one] - centers[two]) for one, two in ends])
    nearest: dict[int, float] = {}
    for (one, two), distance in zip(ends, distances):
        for end in (int(one), int(two)):
            nearest[end] = min(nearest.get(end, np.inf), float(distance))
    usual = float(np.median(distances))
    return sorted(model.images[number].name for number, distance in nearest.items() if distance > _FAR * usual)


def strays(pairs: PairAgreement) -> list[int]:
    """Numbers of images most of whose matches disagree with the poses: the worst first, and then without it the next,
    since a photo in a wrong place also spoils the share of those around it."""
    found: list[int] = []
    while len(pairs.matches):
        shares = pairs.by_image()
        worst = min(shares, key=lambda number: shares[number])
        if shares[worst] >= STRAY:
            break
        found.append(worst)
        pairs = pairs.without([worst])
    return found


def same(one: Model, two: Model) -> bool:
    """Whether two models of the same photos agree: nine of ten photos that either has are in both, and nine of ten
    camera positions differ by less than 1 % of their extent, after the similarity that aligns these best."""
    places = [{i.name: i.projection_center() for i in model.images.values() if i.has_pose} for model in (one, two)]
    common = sorted(places[0].keys() & places[1].keys())
    if len(common) < 3 or len(common) < _MOST * max(map(len, places)):
        return False
    a, b = (np.array([place[name] for name in common]) for place in places)
    kept, most = np.arange(len(common)), max(3, int(_MOST * len(common)))
    for _ in range(_TRIMS):
        apart = np.linalg.norm(aligned(a, b, kept) - b, axis=1)
        kept = np.argsort(apart)[:most]
    extent = float(np.linalg.norm(b[kept].max(0) - b[kept].min(0)))
    return bool(np.linalg.norm(aligned(a, b, kept) - b, axis=1)[kept].max() < SAME * extent)


def aligned(a: Floats, b: Floats, kept: NDArray[np.intp]) -> Floats:
    """Points a [N, 3], moved by the similarity that brings the ``kept`` ones nearest to b [N, 3] (Umeyama 1991)."""
    mean_a, mean_b = a[kept].mean(0), b[kept].mean(0)
    u, singular, vt = np.linalg.svd((b[kept] - mean_b).T @ (a[kept] - mean_a))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (singular * sign).sum() / max(float(((a[kept] - mean_a) ** 2).sum()), 1e-300)
    return np.asarray(scale * (a - mean_a) @ (u * sign @ vt).T + mean_b)


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _sampson(two_from_one: Floats, rays_one: Floats, rays_two: Floats) -> Floats:
    """Squared Sampson errors [M] of normalised image points [M, 2]."""
    x, y, z = two_from_one[:, 3] / max(float(np.linalg.norm(two_from_one[:, 3])), 1e-12)
    essential = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ two_from_one[:, :3]
    one = np.column_stack([rays_one, np.ones(len(rays_one))])
    two = np.column_stack([rays_two, np.ones(len(rays_two))])
    line_two, line_one = one @ essential.T, two @ essential  # [M, 3]
    residual = (two * line_two).sum(1)
    return residual**2 / np.maximum((line_two[:, :2] ** 2).sum(1) + (line_one[:, :2] ** 2).sum(1), 1e-24)
