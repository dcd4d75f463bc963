"""Sparse points: from PLY files, without far outliers, or random ones where a format has none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.cameras import project
from nerfkit.contracts import Cameras
from nerfkit.errors import NerfkitError


def read_ply(path: Path) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Vertices [P, 3] and their colors [P, 3] (grey where the file has none).

    Raises:
        NerfkitError: no such file, no PLY, or no x, y, z.
    """
    from plyfile import PlyData

    if not path.is_file():
        raise NerfkitError(f"{path}: no such point file; put it there, or take ply_file_path out of transforms.json")
    try:
        vertex = PlyData.read(str(path))["vertex"].data
        points = np.stack([vertex[axis] for axis in "xyz"], -1).astype(np.float64)
    except Exception as error:  # plyfile raises what its parser meets: KeyError, ValueError, PlyParseError…
        raise NerfkitError(f"{path}: not a readable PLY of points ({error}); write it again") from None
    if {"red", "green", "blue"} <= set(vertex.dtype.names):
        return points, _eight_bit(np.stack([vertex[name] for name in ("red", "green", "blue")], -1))
    return points, np.full(points.shape, 128, np.uint8)


def _eight_bit(colors: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours [P, 3] of any type: of fractions 1, of 16 bits 65535 is white, but 255 where nothing is more."""
    if colors.dtype == np.uint16 and colors.max(initial=0) > 255:
        return (colors / 257 + 0.5).astype(np.uint8)
    if colors.dtype.kind == "f":
        colors = np.nan_to_num(colors) * (255 if np.nanmax(colors, initial=0) <= 1 else 1) + 0.5
    return colors.clip(0, 255).astype(np.uint8)


def inliers(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points to keep [P]: finite, and within 10 times the 95 % quantile of the distances to their median.

    Only the wildest mistakes of triangulation go: a distant but true background stays.
    """
    finite = np.asarray(np.isfinite(points).all(axis=1))
    if not finite.any():
        return finite
    distance = np.linalg.norm(np.where(finite[:, None], points, 0) - np.median(points[finite], 0), axis=1)
    return finite & (distance <= 10 * np.quantile(distance[finite], 0.95))


def random_points(cameras: Sequence[Cameras], count: int = 20_000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points [count, 3] float32 spread evenly over the volume that the cameras look at, and grey colors.

    For formats without sparse points. ``cameras`` (C = 1 each) stand in a normalised scene frame, that is
    inside the unit ball around their focus. A point is kept where at least a quarter of the cameras (and
    two) see it; the volume reaches to twice the cameras' distance.
    """
    rng = torch.Generator().manual_seed(seed)
    needed = min(len(cameras), max(2, len(cameras) // 4))
    kept: list[Tensor] = []
    for _ in range(50):
        ball = torch.nn.functional.normalize(torch.randn(count, 3, generator=rng), dim=1)
        ball = ball * 2 * torch.rand(count, 1, generator=rng) ** (1 / 3)  # even in the ball of radius 2
        kept.append(ball[_times_seen(cameras, ball) >= needed])
        if sum(len(points) for points in kept) >= count:
            break
    points = torch.cat(kept)[:count]
    if len(points) < count:  # cameras that share no volume: fill the ball around their focus
        fill = torch.nn.functional.normalize(torch.randn(count - len(points), 3, generator=rng), dim=1)
        points = torch.cat([points, fill * torch.rand(len(fill), 1, generator=rng) ** (1 / 3)])
    return points, torch.full((count, 3), 128, dtype=torch.uint8)


def _times_seen(cameras: Sequence[Cameras], points: Tensor) -> Tensor:  # [P]
    """How many cameras see each point. Cameras of one size go together: thousands of tiny operations are slow."""
    seen = torch.zeros(len(points), dtype=torch.int64)
    sizes = {(camera.width, camera.height) for camera in cameras}
    for width, height in sorted(sizes):
        alike = [camera for camera in cameras if (camera.width, camera.height) == (width, height)]
        for start in range(0, len(alike), 32):
            some = alike[start : start + 32]
            poses, intrinsics = zip(*((camera.world_from_cam, camera.intrinsics) for camera in some), strict=True)
            pixels, depth = project(Cameras(torch.cat(poses), torch.cat(intrinsics), width, height), points)
            inside = (pixels >= 0).all(-1) & (pixels <= pixels.new_tensor([width, height])).all(-1)  # [C, P]
            seen += (inside & (depth > 0.05)).sum(0)
    return seen
