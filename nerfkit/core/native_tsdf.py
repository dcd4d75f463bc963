"""TSDF fusion through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.core._library import call
from nerfkit.core.volume import BlockMap, Volume


def tsdf_mark(map: BlockMap, depth: Tensor, pixels: Tensor, cameras: Cameras) -> None:
    """Marks the blocks that depth maps' surfaces reach, in place: see :func:`nerfkit.core.reference_tsdf.tsdf_mark`.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout; cameras that are no pinholes.
    """
    call(
        "nk_tsdf_mark", voxel_size=map.voxel_size, truncation=map.truncation, origin=map.origin, marks=map.marks,
        **_views("tsdf_mark", depth, pixels, cameras),
    )  # fmt: skip


def tsdf_integrate(volume: Volume, depth: Tensor, pixels: Tensor, cameras: Cameras) -> None:
    """Fuses depth maps into ``volume``, in place: see :func:`nerfkit.core.reference_tsdf.tsdf_integrate`.

    The result does not depend on the number of threads. A call reads and writes all of the volume that the cameras
    see, so that many views at once are faster than one after the other.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout; cameras that are no pinholes.
    """
    call(
        "nk_tsdf_integrate", voxel_size=volume.voxel_size, truncation=volume.truncation, origin=volume.origin,
        blocks=volume.blocks, tsdf=volume.tsdf, weight=volume.weight, color=volume.color,
        **_views("tsdf_integrate", depth, pixels, cameras),
    )  # fmt: skip


def _views(operator: str, depth: Tensor, pixels: Tensor, cameras: Cameras) -> dict[str, Any]:
    shape = len(cameras), cameras.height, cameras.width
    if cameras.model != "pinhole":
        raise ValueError(f"{operator}: expected pinhole cameras, got model {cameras.model}")
    if depth.shape != shape:
        raise ValueError(f"{operator}: depth must be {list(shape)} as the cameras are, got {list(depth.shape)}")
    return {
        "depth": depth.contiguous(), "pixels": pixels.contiguous(),
        "cam_from_world": cameras.cam_from_world.to(depth.device, torch.float32).contiguous(),
        "intrinsics": cameras.intrinsics.to(depth.device, torch.float32).contiguous(),
    }  # fmt: skip
