"""From a distorted camera to the pinhole camera that nerfkit trains on, and the maps between their pixels."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.cameras import distort, pixel_centers, resize
from nerfkit.contracts import CameraModel, Cameras

ZOOM_STEP = 1.01
SMALLEST_ZOOM, LARGEST_ZOOM = 0.5, 8.0
_AT_ONCE = 1 << 15  # pixels, whose dozen of intermediate results stay in a core's cache


def pinhole(source: Cameras, width: int, height: int) -> Cameras:
    """The pinhole camera of size ``width`` x ``height`` that sees what ``source`` (C = 1) sees, without borders.

    The photo keeps its size and principal point; both focal lengths are multiplied by the smallest zoom
    with which no pixel falls outside the photo (as OpenCV's alpha = 0, but with square pixels kept
    square). The zoom stays above 0.5, so that a wide fisheye loses its rim instead of its resolution.
    """
    out = resize(source, width, height)
    k = out.intrinsics.clone()
    k[:, :2] *= zoom(source)
    return Cameras(out.world_from_cam, k, width, height)


def zoom(source: Cameras) -> float:
    """The factor of :func:`pinhole`; 1 for a camera without distortion."""
    if source.model == "pinhole" or source.distortion is None:
        return 1.0
    intrinsics, distortion = source.intrinsics[0].tolist(), source.distortion[0].tolist()
    return _zoom(source.width, source.height, source.model, tuple(intrinsics), tuple(distortion))


@lru_cache(maxsize=256)  # most scenes have one camera for all photos
def _zoom(
    width: int, height: int, model: CameraModel, intrinsics: tuple[float, ...], distortion: tuple[float, ...]
) -> float:
    pose, k, d = (torch.tensor([v], dtype=torch.float64) for v in (torch.eye(4).tolist(), intrinsics, distortion))
    source = Cameras(pose, k, width, height, model, d)
    border = _border(source)
    factor = 1.0
    # Small steps from 1: a polynomial may fold back far outside the photo, where it must not be trusted.
    while not _inside(source, border, factor) and factor < LARGEST_ZOOM:
        factor *= ZOOM_STEP
    while factor > SMALLEST_ZOOM and _inside(source, border, factor / ZOOM_STEP):
        factor /= ZOOM_STEP
    low, high = factor / ZOOM_STEP, factor
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if _inside(source, border, middle) else (middle, high)
    return max(high, SMALLEST_ZOOM)


def maps(source: Cameras, target: Cameras) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each pixel of the pinhole ``target``, where it lies in the photo: OpenCV's two remap tables [H, W].

    OpenCV counts pixel centres from 0, nerfkit from 0.5: half a pixel is taken off.
    """
    k = target.intrinsics[0]
    table = np.empty((2, target.height, target.width), np.float32)
    rows = max(1, _AT_ONCE // target.width)
    for top in range(0, target.height, rows):
        height = min(rows, target.height - top)
        centers = pixel_centers(target.width, height, k.dtype).reshape(-1, 2) + k.new_tensor([0, top])
        pixels = _photo_pixels(source, (centers - k[2:]) / k[:2]) - 0.5
        table[:, top : top + height] = pixels.T.reshape(2, height, target.width).numpy()
    return table[0], table[1]


def _border(source: Cameras, per_side: int = 64) -> Tensor:  # [P, 2] normalised coordinates
    t = torch.linspace(0, 1, per_side, dtype=source.intrinsics.dtype)
    zero, one = torch.zeros_like(t), torch.ones_like(t)
    sides = [torch.stack(pair, -1) for pair in ((t, zero), (t, one), (zero, t), (one, t))]
    corners = torch.cat(sides) * t.new_tensor([source.width, source.height])
    return (corners - source.intrinsics[0, 2:]) / source.intrinsics[0, :2]


def _inside(source: Cameras, border: Tensor, factor: float) -> bool:
    pixels = _photo_pixels(source, border / factor)
    limit = pixels.new_tensor([source.width, source.height])
    slack = 1e-6 * limit
    return bool(((pixels >= -slack) & (pixels <= limit + slack)).all())


def _photo_pixels(source: Cameras, xy: Tensor) -> Tensor:  # [P, 2]
    return distort(source, xy[None])[0] * source.intrinsics[0, :2] + source.intrinsics[0, 2:]
