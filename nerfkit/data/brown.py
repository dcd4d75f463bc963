"""Brown's distortion with more coefficients than nerfkit's cameras have, brought down to theirs."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.errors import NerfkitError

log = logging.getLogger("nerfkit")

TOLERATED = 1e-3  # of the longer side: a root mean square error that no longer stands for the same camera
TOLD = 0.25  # pixels
_SAMPLES = 41  # per side


def reduce_brown(
    source: str, intrinsics: list[float], width: int, height: int,
    k1: float, k2: float, k3: float = 0.0, k4: float = 0.0, p1: float = 0.0, p2: float = 0.0,
    *, below: Sequence[float] = (0.0, 0.0, 0.0),
) -> tuple[list[float], Tensor]:  # fmt: skip
    """Intrinsics and ``k1 k2 p1 p2`` [4] that see what a camera with the radial terms k3 (r^6) and k4 (r^8) sees too.

    The radial polynomial is ``1 + k1 r^2 + k2 r^4 + k3 r^6 + k4 r^8``; p1 and p2 are OpenCV's. Without k3, k4 and
    ``below`` nothing changes. With them the focal lengths and the four coefficients are those with the least squared
    distance in pixels over the photo, a linear problem; what remains is told in the log.

    Args:
        source: the file, for messages.
        intrinsics: fx fy cx cy in pixels.
        below: a b c of ``1 + a r^2 + b r^4 + c r^6``, which divides the polynomial: k4, k5, k6 of OpenCV's rational
            model.

    Raises:
        NerfkitError: no four coefficients come near.
    """
    if (
        not any((k3, k4, *below))
        or not np.isfinite([*intrinsics, k1, k2, k3, k4, p1, p2, *below]).all()
        or min(intrinsics[:2]) <= 0
    ):
        return intrinsics, torch.tensor([k1, k2, p1, p2], dtype=torch.float64)  # what isn't finite is reported later
    fitted, error = _fit(tuple(intrinsics), width, height, (k1, k2, k3, k4, p1, p2), tuple(below))
    if error > TOLERATED * max(width, height):
        raise NerfkitError(
            f"{source}: distortion with {_words(k3, k4, below)} differs by {error:.1f} px from any with k1, k2, p1, p2 "
            "only; undistort the photos, or export the cameras with fewer coefficients"
        )
    if error > TOLD:
        _tell(source, round(error, 2))
    fx, fy, cx, cy = intrinsics
    scale, *coefficients = fitted
    return [fx * scale, fy * scale, cx, cy], torch.tensor(coefficients, dtype=torch.float64)


def _words(k3: float, k4: float, below: Sequence[float]) -> str:
    divided = f" over 1 + {below[0]:g} r^2 + {below[1]:g} r^4 + {below[2]:g} r^6" if any(below) else ""
    return f"k3 {k3:g} and k4 {k4:g}{divided}"


@lru_cache(maxsize=256)
def _tell(source: str, error: float) -> None:
    """Once for each camera."""
    log.warning("%s: k3 and above are folded into the other coefficients, with an error of %.2f px", source, error)


@lru_cache(maxsize=256)  # most scenes have one camera for all photos
def _fit(
    intrinsics: tuple[float, ...], width: int, height: int, brown: tuple[float, ...], below: tuple[float, ...]
) -> tuple[tuple[float, ...], float]:
    """A factor for both focal lengths with k1 k2 p1 p2, and the root mean square of what remains in pixels."""
    fx, fy, cx, cy = intrinsics
    grid = np.stack(np.meshgrid(np.linspace(0, width, _SAMPLES), np.linspace(0, height, _SAMPLES)), -1).reshape(-1, 2)
    target = (grid - [cx, cy]) / [fx, fy]
    xy, solved = _undistorted(target, brown, below)
    if solved.mean() < 0.5:
        return (1.0, *brown[:2], *brown[4:]), float("inf")
    xy, target = xy[solved], target[solved]
    x, y = xy.T
    r2 = x * x + y * y
    columns = [xy, xy * r2[:, None], xy * (r2 * r2)[:, None],
               np.stack([2 * x * y, r2 + 2 * y * y], -1), np.stack([r2 + 2 * x * x, 2 * x * y], -1)]  # fmt: skip
    matrix = np.stack([column.ravel() for column in columns], -1)
    solution, *_ = np.linalg.lstsq(matrix, target.ravel(), rcond=None)
    left = (matrix @ solution - target.ravel()).reshape(-1, 2) * [fx, fy]
    scale = float(solution[0])
    return (scale, *(float(value) / scale for value in solution[1:])), float(np.sqrt((left**2).sum(1).mean()))


def _undistorted(
    target: NDArray[np.float64], brown: tuple[float, ...], below: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What is distorted to ``target`` [P, 2], by fixed-point iteration, and where that converged [P]."""
    k1, k2, k3, k4, p1, p2 = brown
    xy = target.copy()
    with np.errstate(all="ignore"):
        for _ in range(200):
            x, y = xy.T
            r2 = x * x + y * y
            radial = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
            radial /= 1 + r2 * (below[0] + r2 * (below[1] + r2 * below[2]))
            shift = np.stack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], -1)
            step = target - (xy * radial[:, None] + shift)
            xy = xy + 0.7 * step
    return xy, np.isfinite(xy).all(1) & (np.abs(step) < 1e-7).all(1)
