"""The frame that poses were given in, for the same poses after they were adjusted, which leaves it free."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nerfkit.poses.frame import Similarity

Array = NDArray[np.float64]

_ROUNDS = 5
_UNEQUAL = 10.0  # by how much positions or orientations may outweigh the other
_KEPT = 0.8  # share of the cameras that count: those that moved least


def anchor(given: Array, found: Array, reach: float) -> Similarity:
    """The similarity that brings cameras ``found`` onto ``given`` ones, world_from_cam [N, 4, 4] each, N >= 1.

    Positions and orientations both count, so that a row of cameras, or a single one, leaves nothing open: the rotation
    is the one that best aligns the positions and the axes (the orthogonal Procrustes problem of both; Umeyama 1991 has
    that of the positions), weighted by how far both are off; scale and translation are those of the positions. A
    fifth of the cameras, those that moved most, is left out of account. Where all cameras stand in one place, the scale
    is 1. ``reach``, world units, is about how far away what they see is: there a turn moves it as far as a shift.
    """
    kept, weight = np.arange(len(given)), reach
    for _ in range(_ROUNDS):
        result = _fit(given[kept], found[kept], weight)
        apart, turned = _moves(given, found, result)
        kept = np.argsort(np.hypot(apart, reach * turned), kind="stable")[: max(3, round(_KEPT * len(given)))]
        # Each weighs by its variance: half the squared chord of a small turn is its square.
        ratio = float(np.median(apart[kept]) / max(np.median(turned[kept]), 1e-9)) / np.sqrt(2)
        weight = min(max(ratio, reach / _UNEQUAL), reach * _UNEQUAL)
    return _fit(given[kept], found[kept], weight)


def turns(one: Array, two: Array) -> Array:
    """Degrees [N] between the orientations of cameras [N, 4, 4]; by the chord, which is exact for small angles."""
    chord = np.linalg.norm(one[:, :3, :3] - two[:, :3, :3], axis=(1, 2)) / (2 * np.sqrt(2))  # sin(angle / 2)
    return np.asarray(np.degrees(2 * np.arcsin(np.clip(chord, 0, 1))))


def _fit(given: Array, found: Array, weight: float) -> Similarity:
    a, b = found[:, :3, 3], given[:, :3, 3]
    middle_a, middle_b = a.mean(0), b.mean(0)
    a, b = a - middle_a, b - middle_b
    axes = np.einsum("nij,nkj->ik", given[:, :3, :3], found[:, :3, :3])
    u, _, vt = np.linalg.svd(b.T @ a + weight**2 * axes)
    rotation = u * np.array([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
    size = float((a**2).sum())
    scale = float(np.einsum("ni,ij,nj->", b, rotation, a)) / size if size > 1e-20 * weight**2 * len(a) else 1.0
    scale = scale if scale > 0 else 1.0
    return Similarity(scale, rotation, middle_b - scale * rotation @ middle_a)


def _moves(given: Array, found: Array, world: Similarity) -> tuple[Array, Array]:
    """How far cameras are from where they were, world units [N], and turned, radians [N]."""
    apart = np.linalg.norm(world.points(found[:, :3, 3]) - given[:, :3, 3], axis=1)
    turned = found.copy()
    turned[:, :3, :3] = world.rotation @ found[:, :3, :3]
    return np.asarray(apart), np.radians(turns(turned, given))
