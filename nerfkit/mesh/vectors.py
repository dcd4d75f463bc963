"""Vectors [..., 3] in NumPy arrays, whose own sums and norms along so short an axis take up to ten times as long."""

from __future__ import annotations

import numpy as np


def dot(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Scalar products [...]."""
    product: np.ndarray = one[..., 0] * other[..., 0] + one[..., 1] * other[..., 1] + one[..., 2] * other[..., 2]
    return product


def length(vectors: np.ndarray) -> np.ndarray:
    """Euclidean lengths [...]."""
    root: np.ndarray = np.sqrt(dot(vectors, vectors))
    return root


def unit(vectors: np.ndarray, least: float = 1e-30) -> np.ndarray:
    """The vectors as long as 1; those shorter than ``least`` are multiplied by its inverse."""
    scaled: np.ndarray = vectors / np.maximum(length(vectors), least)[..., None]
    return scaled
