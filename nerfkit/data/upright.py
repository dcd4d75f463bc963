"""Where cameras say that up is, and what they look at. NumPy, float64: pose estimation imports no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SIGMA = np.radians(8.0)  # of the roll of hand-held cameras
_SIDEWAYS, _HEAD_DOWN = 0.6, 0.1  # what such a camera counts against an upright one
_CANDIDATES = 150  # pairs of cameras
_BLOCK = 64  # directions that are looked at at a time: 5 MB for each thousand of cameras
_SPANS_PLANE = 0.03  # second eigenvalue of horizontal unit vectors: below, they are one direction (10 degrees of fan)


def up_direction(rotations: Array) -> Array:
    """The unit up vector [3] of cameras ``world_from_cam`` [C, 3, 3] or [C, 4, 4] (OpenCV axes).

    Photographers keep one side of the picture level: the x axis, or the y axis of a camera turned to portrait. Up is
    the direction seen without roll, or with a quarter turn, by most cameras; it is refined to the normal of their
    level axes, of which outliers weigh less. Where those are all one direction (cameras side by side), it leans
    as the cameras do; where the cameras are rolled every way but look the same way (a survey from above), it points
    against their view.
    """
    right, above, ahead = rotations[:, :3, 0], -rotations[:, :3, 1], rotations[:, :3, 2]
    candidates = _candidates(right, above)
    blocks = np.split(candidates, range(_BLOCK, len(candidates), _BLOCK))
    best = candidates[int(np.argmax(np.concatenate([_scores(block, right, above, ahead) for block in blocks])))]
    if _agreeing(best, right, above) < 0.6 and np.linalg.norm(ahead.mean(0)) > 0.9:
        return _unit(-ahead.mean(0))
    return _refined(best, right, above)


def focus(world_from_cam: Array, points: Array | None = None) -> Array:
    """The point [3] that the cameras [C, 4, 4] look at: nearest to all optical axes in the least-squares sense.

    Axes that pass far by weigh less (iteratively reweighted, weight 1 / distance). Where the axes are nearly
    parallel, or their focus lies behind most cameras, it is the median of the ``points``, and without
    points a place in front of the mean camera, at the cameras' spread.
    """
    origins, axes = world_from_cam[:, :3, 3], world_from_cam[:, :3, 2]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]  # [C, 3, 3]
    if np.linalg.eigvalsh(across.mean(0))[0] > 1e-3:
        center = _nearest(across, origins, np.ones(len(axes)))
        for _ in range(20):
            distance = np.linalg.norm((across @ (center - origins)[:, :, None])[:, :, 0], axis=1)
            weights = 1 / (distance + 0.1 * np.median(distance) + 1e-9 * origins.std())
            center = _nearest(across, origins, weights)
        if (((center - origins) * axes).sum(1) > 0).mean() > 0.5:
            return center
    if points is not None and len(points):
        return np.asarray(np.median(points, axis=0))
    spread = max(float(np.linalg.norm(origins - origins.mean(0), axis=1).max()), 1e-9)
    return np.asarray(origins.mean(0) + spread * _unit(axes.mean(0)))


def level_axes(world_from_cam: Array, up: Array) -> Array:
    """Rotation [3, 3] into a frame with +Z up: its rows are that frame's axes in the world.

    +X is the right-hand direction of the camera [4, 4], laid flat.
    """
    flat = world_from_cam[:3, :3] - up[:, None] * (up @ world_from_cam[:3, :3])  # the camera's axes laid flat
    x, z = flat[:, 0], flat[:, 2]
    if np.linalg.norm(x) < 0.5:  # a camera turned to portrait: its depth axis, or else its y axis, is level
        level = z if np.linalg.norm(z) > 0.5 else flat[:, 1]
        x = np.cross(level, up)
    x = _unit(x)
    return np.stack([x, np.cross(up, x), up])


def some_pairs(count: int, most: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The indices i < j of ``most`` different pairs of ``count`` things, by chance, or of all where there are no more.

    In memory that grows with ``count`` alone: a survey of 5000 photos has 12 million pairs.
    """
    starts = np.concatenate([[0], np.cumsum(np.arange(count - 1, 0, -1))])  # of each i among all pairs, sorted
    total = int(starts[-1])
    kept = np.arange(total) if total <= most else np.random.default_rng(0).choice(total, most, replace=False)
    one = np.searchsorted(starts, kept, side="right") - 1
    return one, kept - starts[one] + one + 1


def _candidates(right: Array, above: Array) -> Array:
    """Directions [K, 3] that may be up: normals of the level axes of pairs of cameras, and the mean of the up axes."""
    count = len(right)
    one, two = some_pairs(count, _CANDIDATES)
    pairs = ((right, right), (right, above), (above, right), (above, above))
    normals = np.concatenate([np.cross(a[one], b[two]) for a, b in pairs])
    normals = normals[np.linalg.norm(normals, axis=1) > 0.05]
    axes = np.concatenate([above.mean(0)[None], above[:_CANDIDATES], right[:_CANDIDATES]])
    directions = np.concatenate([normals, axes[np.linalg.norm(axes, axis=1) > 1e-6]])
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return np.concatenate([directions, -directions])


def _scores(up: Array, right: Array, above: Array, ahead: Array) -> Array:
    """How well directions [K, 3] fit as up: [K]."""
    a, b = up @ right.T, up @ above.T  # [K, C]
    roll = np.abs(np.arctan2(a, b))
    seen = np.minimum(1, np.hypot(a, b) / 0.3)  # a camera that looks along a direction says nothing about it

    def near(angle: float) -> Array:
        return np.asarray(np.exp(-0.5 * ((roll - angle) / _SIGMA) ** 2))

    shares = seen * (near(0) + _SIDEWAYS * near(np.pi / 2) + _HEAD_DOWN * near(np.pi))
    # Ties: as the cameras stand, and rather looking down than up.
    return np.asarray((shares + 0.1 * b - 0.02 * (up @ ahead.T)).mean(1))


def _agreeing(up: Array, right: Array, above: Array) -> float:
    """The share of cameras that stand upright or have the commoner of the two quarter turns."""
    quarters = np.round(np.arctan2(right @ up, above @ up) / (np.pi / 2)).astype(int) % 4
    return float(np.mean(quarters == 0) + max(np.mean(quarters == 1), np.mean(quarters == 3)))


def _refined(up: Array, right: Array, above: Array) -> Array:
    a, b = right @ up, above @ up
    sideways = np.abs(a) > np.abs(b)
    level = np.where(sideways[:, None], above, right)  # [C, 3] each camera's level axis
    upward = np.where(sideways[:, None], right * np.sign(a)[:, None], above * np.sign(b)[:, None])
    normal = up
    for _ in range(20):
        weights = 1 / (1 + ((level @ normal) / np.sin(_SIGMA / 3)) ** 2)
        values, vectors = np.linalg.eigh((level * weights[:, None]).T @ level / weights.sum())
        if values[1] < _SPANS_PLANE:  # all one direction: as the cameras lean
            across = vectors[:, 2]
            leaning = (upward * weights[:, None]).sum(0)
            normal = _unit(leaning - across * (across @ leaning))
        else:
            normal = vectors[:, 0] * (1.0 if vectors[:, 0] @ up >= 0 else -1.0)
    return normal if normal @ up > np.cos(np.radians(25)) else up


def _nearest(across: Array, origins: Array, weights: Array) -> Array:
    weighted = across * weights[:, None, None]
    return np.asarray(np.linalg.solve(weighted.sum(0), (weighted @ origins[:, :, None]).sum(0))[:, 0])


def _unit(vector: Array) -> Array:
    return np.asarray(vector / np.linalg.norm(vector))
