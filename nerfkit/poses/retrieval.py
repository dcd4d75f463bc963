"""Which photos look alike: one vector a photo, from the set's own descriptors, SIFT's or a network's.

Nothing is downloaded: the visual words are the clusters of a sample of the descriptors, and a photo's vector counts
its words, rare ones weighing more (Sivic and Zisserman, "Video Google", ICCV 2003); the root of the counts keeps
texture that repeats from outweighing the rest.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nerfkit.threads import threads

Floats = NDArray[np.float32]
Counts = NDArray[np.int32]
Descriptors = NDArray[np.uint8] | NDArray[np.float32]

WORDS = 2048
_SAMPLE = 50_000  # descriptors that the words are learned from: 25 MB
_ROUNDS = 3
_POINTS = 512  # compared with all words at a time: 4 MB
_BLOCK = 1024  # photos that are compared with all others at a time
_ORDERED_SHARE = 0.8  # by chance, among 60 photos: 0.1


def words(descriptors: Iterable[Descriptors], photos: int, seed: int) -> Floats:
    """Visual words [K, D], K at most 2048: k-means over descriptors [M, D] sampled evenly from each photo."""
    rng = np.random.default_rng(seed)
    share = max(8, _SAMPLE // max(photos, 1))
    picked = [one[rng.permutation(len(one))[:share]] for one in descriptors if len(one)]
    sample = np.concatenate(picked or [np.zeros((0, 1), np.float32)]).astype(np.float32)
    centers = sample[rng.permutation(len(sample))[:WORDS]]
    for _ in range(_ROUNDS):
        nearest = _nearest(sample, centers)
        counts = np.bincount(nearest, minlength=len(centers))[:, None]
        centers = np.where(counts > 0, _sums(sample, nearest, len(centers)) / np.maximum(counts, 1), centers)
    return centers.astype(np.float32)


def count(descriptors: Descriptors, centers: Floats) -> Counts:
    """How often each word occurs [K] in a photo with descriptors [M, D]."""
    return np.bincount(_nearest(descriptors.astype(np.float32), centers), minlength=len(centers)).astype(np.int32)


def vectors(counts: Iterable[Counts]) -> Floats:
    """What the photos look like [N, K], each of length 1 (0 for one without features): root counts × log rarity."""
    table = np.stack(list(counts))  # [N, K]
    rarity = np.log((1 + len(table)) / (1 + (table > 0).sum(0)))
    looks = (np.sqrt(table) * rarity).astype(np.float32)
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-12)
    return looks


def nearest_photos(vectors: Floats, count: int) -> NDArray[np.intp]:
    """The ``count`` most alike others of each photo [N, min(count, N - 1)], the most alike first."""
    photos = len(vectors)
    count = min(count, photos - 1)
    rows = []
    for start in range(0, photos, _BLOCK):
        alike = vectors[start : start + _BLOCK] @ vectors.T  # [B, N]
        alike[np.arange(len(alike)), np.arange(start, start + len(alike))] = -np.inf
        best = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(alike, best, 1), axis=1, kind="stable")
        rows.append(np.take_along_axis(best, order, 1))
    return np.concatenate(rows)


def in_order(vectors: Floats) -> bool:
    """Whether photos sorted by name are in the order they were taken in: most have a neighbour by name among the
    three photos that they are most alike."""
    alike = nearest_photos(vectors, 3)
    near = np.abs(alike - np.arange(len(vectors))[:, None]) == 1
    return bool(near.any(1).mean() > _ORDERED_SHARE)


def _nearest(points: Floats, centers: Floats) -> NDArray[np.intp]:
    """The nearest centre of each point [M], blockwise in threads."""
    half = (centers**2).sum(1) / 2
    starts = range(0, len(points), _POINTS)
    with threads() as pool:
        blocks = pool.map(lambda at: (points[at : at + _POINTS] @ centers.T - half).argmax(1), starts)
        return np.concatenate([np.zeros(0, np.intp), *blocks])


def _sums(points: Floats, groups: NDArray[np.intp], count: int) -> Floats:
    """The sums [count, D] of the points [M, D] of each group."""
    from scipy.sparse import csr_matrix

    member = csr_matrix((np.ones(len(points), np.float32), (groups, np.arange(len(points)))), (count, len(points)))
    return np.asarray(member @ points)
