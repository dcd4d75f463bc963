"""The world frame of estimated poses: +Z up, the ground at z = 0, the origin below the cameras' focus.

COLMAP's own frame is arbitrary. Up comes from the cameras, and where points show a ground or a table, from it. The
unit is a metre where GPS or a known distance tells, else the median distance of the cameras to their focus. NumPy
and float64 throughout; all functions take COLMAP's frame ("model") and give what leads to the world's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.data.upright import focus, level_axes, up_direction

Array = NDArray[np.float64]

_TILT = np.radians(8.0)  # of a ground against the cameras' up: beyond, it is a slope, or the cameras know better
_THICKNESS = 0.01  # of a ground, in distances from the cameras to their focus
_MOST_POINTS = 6000
_TRIPLES, _HYPOTHESES = 40_000, 400


@dataclass(frozen=True)
class Similarity:
    """``x_world = scale * rotation @ x_model + translation``."""

    scale: float
    rotation: Array  # [3, 3], det = +1
    translation: Array  # [3]

    def points(self, x: Array) -> Array:  # [..., 3]
        return np.asarray(self.scale * (x @ self.rotation.T) + self.translation)

    def after(self, other: Similarity) -> Similarity:
        """``self ∘ other``."""
        return Similarity(
            self.scale * other.scale,
            self.rotation @ other.rotation,
            self.scale * (self.rotation @ other.translation) + self.translation,
        )

    def matrix(self) -> Array:  # [3, 4]
        return np.column_stack([self.scale * self.rotation, self.translation])

    def to_json(self) -> dict[str, Any]:
        return {"scale": self.scale, "rotation": self.rotation.tolist(), "translation": self.translation.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Similarity:
        return cls(float(data["scale"]), np.array(data["rotation"]), np.array(data["translation"]))


@dataclass(frozen=True)
class Ground:
    normal: Array  # [3] unit, upward
    height: float  # normal @ x of its points
    share: float  # of the points, that lie in it


@dataclass(frozen=True)
class Upright:
    world_from_model: Similarity
    ground: Ground | None


def upright(world_from_cam: Array, points: Array, up: Array | None = None) -> Upright:
    """The frame of cameras [C, 4, 4] (OpenCV axes; the first one gives +X) and sparse points [P, 3] of a model.

    The unit is the cameras' median distance to their focus. ``up`` [3] is known from elsewhere, or found.
    """
    up = up_direction(world_from_cam) if up is None else up
    center = focus(world_from_cam, points)
    positions = world_from_cam[:, :3, 3]
    distance = float(np.median(np.linalg.norm(positions - center, axis=1))) or 1.0
    ground = find_ground(points, positions, up, distance)
    origin = center
    if ground is not None:
        up = ground.normal
        origin = center + (ground.height - up @ center) * up
    rotation = level_axes(world_from_cam[0], up)
    scale = 1 / distance
    return Upright(Similarity(scale, rotation, -scale * (rotation @ origin)), ground)


def find_ground(points: Array, positions: Array, up: Array, distance: float) -> Ground | None:
    """The plane below the cameras at ``positions`` [C, 3] that most ``points`` [P, 3] lie in.

    None where none stands out. RANSAC over planes that tilt by 8 degrees at most against ``up``; ``distance`` is the
    scene's size. A plane counts where it is wide, below four of five cameras, and twice as densely set as the space
    above and below it.
    """
    near = points[np.linalg.norm(points - np.median(points, axis=0), axis=1) < 6 * distance] if len(points) else points
    if len(near) < 30:
        return None
    rng = np.random.default_rng(0)
    if len(near) > _MOST_POINTS:
        near = near[rng.choice(len(near), _MOST_POINTS, replace=False)]
    thickness = _THICKNESS * distance
    best, best_score = None, 0.0
    for normal, height in _hypotheses(near, up, distance, rng):
        heights = near @ normal - height
        score = (np.abs(heights) < thickness).sum() - 0.3 * (heights < -3 * thickness).sum()
        if score > best_score and (positions @ normal - height > thickness).mean() >= 0.8:
            best, best_score = (normal, height), float(score)
    if best is None:
        return None
    normal, height = best
    for _ in range(5):
        inside = near[np.abs(near @ normal - height) < thickness]
        if len(inside) < 3:
            return None
        center = inside.mean(0)
        spread, axes = np.linalg.eigh(np.cov((inside - center).T))
        normal = axes[:, 0] * (1.0 if axes[:, 0] @ up > 0 else -1.0)
        height = float(normal @ center)
    heights = np.abs(near @ normal - height)
    count, beside = int((heights < thickness).sum()), int(((heights >= thickness) & (heights < 3 * thickness)).sum())
    stands_out = count >= max(30, 0.05 * len(near)) and count > beside
    if not stands_out or spread[1] < (0.1 * distance) ** 2 or normal @ up < np.cos(_TILT):
        return None
    return Ground(normal, height, count / len(near))


def _hypotheses(points: Array, up: Array, distance: float, rng: np.random.Generator) -> list[tuple[Array, float]]:
    """Nearly level planes (normal, height) through three of the points [P, 3]."""
    a, b, c = points[rng.integers(0, len(points), (3, _TRIPLES))]
    normal = np.cross(b - a, c - a)
    area = np.linalg.norm(normal, axis=1)
    wide = area > (0.1 * distance) ** 2
    normal, a = normal[wide] / area[wide, None], a[wide]
    normal = normal * np.where(normal @ up < 0, -1.0, 1.0)[:, None]
    level = np.flatnonzero(normal @ up > np.cos(_TILT))[:_HYPOTHESES]
    return [(normal[index], float(normal[index] @ a[index])) for index in level]
