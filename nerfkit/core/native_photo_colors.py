"""What a photo shows of points of a surface, through the library."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.core._library import call


def photo_colors(
    positions: Tensor, normals: Tensor, camera: Cameras, depth: Tensor, trust: Tensor, planes: Tensor,
    min_cosine: float, slack: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Weights [P] and colours [C, P]: see :func:`nerfkit.core.reference_photo_colors.photo_colors`.

    Not differentiable. The result does not depend on the number of threads.

    Args:
        positions, normals: [3, P] float32.
        camera: one pinhole camera of the photo's size.
        depth, trust: [H, W] float32.
        planes: [C, H, W] float32.
        min_cosine, slack: where points are seen.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout; a camera that is no pinhole of this size.
        RuntimeError: a photo of less than 3 pixels a side.
    """
    if camera.model != "pinhole" or len(camera) != 1:
        raise ValueError(f"photo_colors: expected one pinhole camera, got {len(camera)} of model {camera.model}")
    if planes.shape[1:] != (camera.height, camera.width):
        raise ValueError(
            f"photo_colors: planes must be {camera.width}x{camera.height} as the camera is, got {list(planes.shape)}"
        )
    weight = positions.new_empty(positions.shape[1:])
    colors = positions.new_empty(len(planes), *positions.shape[1:])
    call(
        "nk_photo_colors", min_cosine=min_cosine, slack=slack, positions=positions, normals=normals, depth=depth,
        cam_from_world=camera.cam_from_world[0].to(planes.device, torch.float32).contiguous(),
        intrinsics=camera.intrinsics[0].to(planes.device, torch.float32).contiguous(),
        trust=trust, planes=planes, weight=weight, colors=colors,
    )  # fmt: skip
    return weight, colors
