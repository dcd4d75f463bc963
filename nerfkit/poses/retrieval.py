"""Which photos look alike: one vector a photo, from the set's own SIFT descriptors.

Nothing is downloaded: the visual words are the clusters of a sample of the descriptors, and a photo's vector (VLAD:
Jégou et al., "Aggregating local descriptors into a compact image representation", CVPR 2010) sums how its
descriptors differ from their words. Words weigh equally ("intra-normalization", Arandjelović and Zisserman, "All
about VLAD", CVPR 2013), and what all photos have in common is taken off.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

WORDS = 64
_SAMPLE = 100_000  # descriptors that the words are learned from: 50 MB
_ROUNDS = 8
_ORDERED_SHARE = 0.8  # by chance, among 60 photos: 0.1
_BLOCK = 1024  # photos that are compared with all others at a time


def words(descriptors: Iterable[NDArray[np.uint8]], photos: int, seed: int) -> Floats:
    """Visual words [K, D], K at most 64: k-means over descriptors [M, D] sampled evenly from each photo."""
    rng = np.random.default_rng(seed)
    share = max(8, _SAMPLE // max(photos, 1))
    picked = [one[rng.permutation(len(one))[:share]] for one in descriptors]
    sample = np.concatenate(picked).astype(np.float32)
    centers = sample[rng.permutation(len(sample))[:WORDS]]
    for _ in range(_ROUNDS):
        nearest = _nearest(sample, centers)
        counts = np.bincount(nearest, minlength=len(centers))[:, None]
        centers = np.where(counts > 0, _sums(sample, nearest, len(centers)) / np.maximum(counts, 1), centers)
    return centers.astype(np.float32)


def vector(descriptors: NDArray[np.uint8], centers: Floats) -> Floats:
    """The photo's vector [K * D], of length 1; zeros for a photo without descriptors."""
    points = descriptors.astype(np.float32)
    nearest = _nearest(points, centers)
    total = _sums(points - centers[nearest], nearest, len(centers))
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    flat = total.ravel()
    return (flat / max(float(np.linalg.norm(flat)), 1e-12)).astype(np.float32)


def centered(vectors: Floats) -> Floats:
    """Vectors [N, D] without their mean, of length 1: what tells a photo from the others."""
    moved = vectors - vectors.mean(0)
    return moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)


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
    photos = len(vectors)
    if photos < 8:
        return False
    alike = nearest_photos(vectors, 3)
    near = np.abs(alike - np.arange(photos)[:, None]) == 1
    return bool(near.any(1).mean() > _ORDERED_SHARE)


def _nearest(points: Floats, centers: Floats) -> NDArray[np.intp]:
    """The nearest centre of each point [N], blockwise."""
    half = (centers**2).sum(1) / 2
    nearest = np.zeros(len(points), dtype=np.intp)
    for at in range(0, len(points), 16384):
        nearest[at : at + 16384] = (points[at : at + 16384] @ centers.T - half).argmax(1)
    return nearest


def _sums(points: Floats, groups: NDArray[np.intp], count: int) -> Floats:
    """The sums [count, D] of the points [M, D] of each group."""
    from scipy.sparse import csr_matrix

    member = csr_matrix((np.ones(len(points), np.float32), (groups, np.arange(len(points)))), (count, len(points)))
    return np.asarray(member @ points)
