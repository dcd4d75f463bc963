"""A quick look at all pairs of photos: how many of their largest features match.

Large features are seen from far and near, and a few hundred of them tell which photos share what they show: for 50
photos that takes a fiftieth of the time of matching all features of all pairs.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nerfkit.poses.retrieval import Floats
from nerfkit.threads import threads

FEATURES = 256  # of a photo; with 400, the same pairs come first
_RATIO, _FARTHEST = 0.8, 0.7  # as COLMAP has them: nearest over second nearest, radians between descriptors
_BLOCK = 8  # photos compared with one at a time: 2 MB of similarities, which stay in a core's cache


def largest(descriptors: NDArray[np.uint8], keypoints: NDArray[np.float32], count: int = FEATURES) -> Floats:
    """The descriptors [count, D] of the largest keypoints, each of length 1, and zeros where there are fewer.

    Args:
        descriptors: [M, D].
        keypoints: [M, 6]: x, y and the affine shape, row by row; or [M, 4]: x, y, scale, orientation.
    """
    shape = keypoints[:, 2:6]
    area = np.abs(shape[:, 0] * shape[:, 3] - shape[:, 1] * shape[:, 2]) if shape.shape[1] == 4 else shape[:, 0] ** 2
    first = np.argsort(-area, kind="stable")[:count]
    chosen = descriptors[first].astype(np.float32)
    table = np.zeros((count, chosen.shape[1]), np.float32)
    table[: len(chosen)] = chosen / np.maximum(np.linalg.norm(chosen, axis=1, keepdims=True), 1e-12)
    return table


def matches(photos: Iterable[Floats]) -> NDArray[np.int32]:
    """How many features of each two photos match [N, N], 0 on the diagonal, for the :func:`largest` of each photo.

    Two match when they are nearest to each other, near, and clearly nearer than the second nearest (Lowe 2004).
    """
    table = np.stack(list(photos))  # [N, F, D]
    counts = np.zeros((len(table), len(table)), np.int32)

    def compare(one: int) -> None:
        for start in range(one + 1, len(table), _BLOCK):
            counts[one, start : start + _BLOCK] = _matches(table[one], table[start : start + _BLOCK])

    with threads() as pool:
        list(pool.map(compare, range(len(table) - 1)))
    return counts + counts.T


def _matches(one: Floats, others: Floats) -> NDArray[np.intp]:
    """The number of matches [B] of a photo's features [F, D] with those of others [B, F, D]."""
    similar = (others.reshape(-1, one.shape[1]) @ one.T).reshape(*others.shape[:2], len(one))  # [B, F theirs, F ours]
    best_of_ours = similar.max(1)  # [B, F]
    photo, feature = np.nonzero(similar.max(2) > np.cos(_FARTHEST))
    rows, each = similar[photo, feature], np.arange(len(photo))  # [C, F]: few are near to any
    nearest = rows.argmax(1)
    cosine = rows[each, nearest]
    rows[each, nearest] = -1
    angle, second = np.arccos(np.minimum(cosine, 1)), np.arccos(rows.max(1, initial=-1).clip(-1, 1))
    good = (cosine >= best_of_ours[photo, nearest]) & (angle < _RATIO * second)
    return np.bincount(photo[good], minlength=len(others))
