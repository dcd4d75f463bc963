"""TSDF integration through the library."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.core._library import call
from nerfkit.core.volume import Volume


def tsdf_integrate(
    volume: Volume,
    depth: Tensor,
    rgb: Tensor,
    camera: Cameras,
    weight: Tensor | None = None,
) -> None:
    """Fuses one depth map into ``volume``, in place: see :func:`nerfkit.core.reference_tsdf.tsdf_integrate`.

    The result does not depend on the number of threads.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout; a camera that is no pinhole.
    """
    if camera.model != "pinhole" or len(camera) != 1:
        raise ValueError(f"tsdf_integrate: expected one pinhole camera, got {len(camera)} of model {camera.model}")
    if depth.shape != (camera.height, camera.width):
        raise ValueError(f"tsdf_integrate: depth must be [{camera.height}, {camera.width}], got {list(depth.shape)}")
    call(
        "nk_tsdf_fwd",
        voxel_size=volume.voxel_size,
        truncation=volume.truncation,
        origin=volume.origin,
        cam_from_world=camera.cam_from_world[0].to("cpu", torch.float32).contiguous(),
        intrinsics=camera.intrinsics[0].to("cpu", torch.float32).contiguous(),
        depth=depth.contiguous(),
        rgb=rgb.contiguous(),
        confidence=None if weight is None else weight.contiguous(),
        tsdf=volume.tsdf,
        weight=volume.weight,
        color=volume.color,
    )
