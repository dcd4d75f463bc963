"""A known distance that gives a model its scale: between two points marked in photos, or between two cameras."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError

Array = NDArray[np.float64]

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "km": 1000.0, "ft": 0.3048, "in": 0.0254}
FORMS = (
    "IMG_A.jpg:812,455 IMG_A.jpg:1310,470 1.50m (two points in one photo), A1 A2 B1 B2 1.50m (the points A and B, each "
    "in two photos), or cameras IMG_A.jpg IMG_B.jpg 2.1m (two photos' places)"
)
_CLOSE = 0.003  # of the photo's longer side: a feature this near to a mark is the mark
_AROUND = 0.06  # and this far features help to interpolate
_LEAST_SURE = 0.006  # relative, of an interpolated depth
_LEAST_ANGLE = np.radians(1.0)  # between the rays of a point marked twice


@dataclass(frozen=True)
class Mark:
    photo: str
    x: float  # pixels of the photo as it is seen upright, in its full size
    y: float

    def __str__(self) -> str:
        return f"{self.photo}:{self.x:g},{self.y:g}"


@dataclass(frozen=True)
class ScaleReference:
    """``marks`` are two points in a photo each, or one point in two photos and then the other; or else ``cameras``."""

    metres: float
    marks: tuple[Mark, ...] = ()
    cameras: tuple[str, ...] = ()

    @property
    def photos(self) -> list[str]:
        return [mark.photo for mark in self.marks] or list(self.cameras)


def parse(words: Sequence[str]) -> ScaleReference:
    """The words of ``--scale-ref``.

    Raises:
        NerfkitError: they have none of the forms, or the distance is not positive.
    """
    words = [word for word in words if word.strip()]
    if len(words) > 1 and words[-1] in METRES:
        words = [*words[:-2], words[-2] + words[-1]]  # "1.5 m"
    if len(words) < 3:
        raise NerfkitError(f"--scale-ref: two points or cameras and their distance are needed: {FORMS}")
    metres, places = _metres(words[-1]), words[:-1]
    if places[0] == "cameras":
        if len(places) != 3 or places[1] == places[2]:
            raise NerfkitError("--scale-ref cameras: two different photos and a distance are needed, as in "
                               "cameras IMG_A.jpg IMG_B.jpg 2.1m")  # fmt: skip
        return ScaleReference(metres, cameras=tuple(places[1:]))
    marks = tuple(_mark(word) for word in places)
    if len(marks) not in (2, 4):
        raise NerfkitError(f"--scale-ref: {len(marks)} marked points, but two or four are needed: {FORMS}")
    if len(marks) == 4 and (marks[0].photo == marks[1].photo or marks[2].photo == marks[3].photo):
        raise NerfkitError(
            "--scale-ref: of four marks, the first two show one point in two photos, the last two the other"
        )
    if len(set(marks)) < len(marks):
        raise NerfkitError(f"--scale-ref: {marks[0]} is marked twice; mark two different points")
    return ScaleReference(metres, marks)


def resolve(reference: ScaleReference, sizes: Mapping[str, tuple[int, int]]) -> ScaleReference:
    """The reference with the photos' full names; ``sizes`` has the width and height of every photo.

    A photo may be given by its path in the folder, its file name, or that without suffix.

    Raises:
        NerfkitError: no photo of that name, or several; a mark outside its photo.
    """
    for mark in reference.marks:
        width, height = sizes[_find(mark.photo, sizes)]
        if not (0 <= mark.x <= width and 0 <= mark.y <= height):
            raise NerfkitError(f"--scale-ref {mark}: outside the photo, which has {width}x{height} pixels")
    marks = tuple(replace(mark, photo=_find(mark.photo, sizes)) for mark in reference.marks)
    return replace(reference, marks=marks, cameras=tuple(_find(name, sizes) for name in reference.cameras))


def measure(reference: ScaleReference, model: Any) -> float:
    """The distance in the units of a ``pycolmap.Reconstruction`` whose images have the reference's names.

    Raises:
        NerfkitError: a photo without a pose; marks whose depth or place the model doesn't tell; no distance at all.
    """
    images = {image.name: image for image in model.images.values() if image.has_pose}
    for name in reference.photos:
        if name not in images:
            raise NerfkitError(f"--scale-ref: {name} has no pose; mark the points in another photo")
    if reference.cameras:
        one, two = (np.asarray(images[name].projection_center()) for name in reference.cameras)
    elif len(reference.marks) == 4:
        one, two = (_meet(reference.marks[i : i + 2], images) for i in (0, 2))
    else:
        one, two = (_on_surface(mark, images[mark.photo], model) for mark in reference.marks)
    distance = float(np.linalg.norm(one - two))
    size = np.linalg.norm(np.ptp([image.projection_center() for image in images.values()], axis=0))
    if distance <= 1e-4 * size:
        raise NerfkitError("--scale-ref: the two places are one and the same; mark points that lie farther apart")
    return distance


def _metres(word: str) -> float:
    found = re.fullmatch(r"(\d*[.,]?\d+(?:e-?\d+)?)\s*([a-z]+)", word.strip().lower())
    if found is None or found[2] not in METRES:
        raise NerfkitError(
            f"--scale-ref: {word} is not a distance; write a number and a unit ({', '.join(METRES)}): 1.50m"
        )
    value = float(found[1].replace(",", ".")) * METRES[found[2]]
    if not 0 < value < 1e7:
        raise NerfkitError(f"--scale-ref: a distance of {word} gives no scale")
    return value


def _mark(word: str) -> Mark:
    found = re.fullmatch(r"(.+):(\d+(?:\.\d+)?),(\d+(?:\.\d+)?)", word)
    if found is None:
        raise NerfkitError(
            f"--scale-ref: {word} is not a point in a photo; write PHOTO:X,Y in pixels, as in IMG_A.jpg:812,455"
        )
    return Mark(found[1], float(found[2]), float(found[3]))


def _find(name: str, names: Mapping[str, Any]) -> str:
    if name in names:
        return name
    paths = [PurePosixPath(known) for known in names]
    alike = [str(path) for path in paths if name in (path.name, path.stem, str(path.with_suffix("")))]
    if len(alike) == 1:
        return alike[0]
    why = (
        f"fits several photos ({', '.join(alike[:3])}); give its path"
        if alike
        else "is none of the photos; check its name"
    )
    raise NerfkitError(f"--scale-ref: {name} {why}")


def _ray(mark: Mark, image: Any) -> tuple[Array, Array]:
    """Origin [3] and unit direction [3] in the model's frame."""
    flat = np.asarray(image.camera.cam_from_img(np.array([[mark.x, mark.y]]))).reshape(2)
    direction = image.cam_from_world().rotation.matrix().T @ np.array([*flat, 1.0])
    return np.asarray(image.projection_center()), direction / np.linalg.norm(direction)


def _meet(marks: Sequence[Mark], images: Mapping[str, Any]) -> Array:
    """The point [3] nearest to the rays of two marks."""
    (a, u), (b, v) = (_ray(mark, images[mark.photo]) for mark in marks)
    words = f"--scale-ref: {marks[0]} and {marks[1]}"
    if np.linalg.norm(np.cross(u, v)) < np.sin(_LEAST_ANGLE):
        raise NerfkitError(f"{words} are seen from almost the same direction; choose photos taken farther apart")
    s, t = np.linalg.lstsq(np.column_stack([u, -v]), b - a, rcond=None)[0]
    gap = float(np.linalg.norm(a + s * u - b - t * v))
    if s <= 0 or t <= 0 or gap > 0.02 * min(s, t):
        raise NerfkitError(f"{words} are not the same point: their rays miss each other; mark both more exactly")
    return np.asarray((a + s * u + b + t * v) / 2)


def _on_surface(mark: Mark, image: Any, model: Any) -> Array:
    """The point [3] that a mark shows, at the depth of the sparse points seen around it in the same photo."""
    seen = [point for point in image.points2D if point.has_point3D()]
    pixels = np.array([point.xy for point in seen]).reshape(-1, 2)
    places = np.array([model.points3D[point.point3D_id].xyz for point in seen]).reshape(-1, 3)
    pose = image.cam_from_world()
    depths = places @ pose.rotation.matrix()[2] + pose.translation[2]
    side = max(image.camera.width, image.camera.height)
    away = np.linalg.norm(pixels - (mark.x, mark.y), axis=1)
    depth = _depth(mark, pixels, depths, away, side)
    origin, direction = _ray(mark, image)
    return np.asarray(origin + direction * depth / (pose.rotation.matrix()[2] @ direction))


def _depth(mark: Mark, pixels: Array, depths: Array, away: Array, side: int) -> float:
    if len(away) and away.min() <= _CLOSE * side:
        return float(depths[np.argmin(away)])
    near = np.argsort(away)[:12]
    near = near[away[near] <= _AROUND * side]
    again = "mark the point in a second photo too (A1 A2 B1 B2), or choose one with texture"
    if len(near) < 4:
        raise NerfkitError(f"--scale-ref {mark}: no 3D points near this pixel tell how far it is; {again}")
    # Seen in perspective, the inverse depth of a plane is a linear function of the pixel.
    table = np.column_stack([np.ones(len(near)), (pixels[near] - (mark.x, mark.y)) / side])
    inverse = 1 / depths[near]
    weights = np.ones(len(near))
    for _ in range(10):
        solved = np.linalg.lstsq(table * weights[:, None], inverse * weights, rcond=None)[0]
        error = np.abs(table @ solved - inverse) * depths[near]  # relative
        weights = 1 / np.sqrt(1 + (error / 0.01) ** 2)
    covariance = np.linalg.pinv((table * weights[:, None] ** 2).T @ table)  # large where the mark lies beside them
    doubt = max(0.005, float(np.median(error)) * 1.5) * float(np.sqrt(covariance[0, 0]))
    if solved[0] <= 0 or doubt > _LEAST_SURE:
        raise NerfkitError(
            f"--scale-ref {mark}: the 3D points around this pixel don't tell well how far it is; {again}"
        )
    return float(1 / solved[0])
