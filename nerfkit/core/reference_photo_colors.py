"""What a photo shows of points of a surface in plain PyTorch: the definition that the kernels are tested against."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from nerfkit.cameras import project
from nerfkit.contracts import Cameras


def photo_colors(
    positions: Tensor, normals: Tensor, camera: Cameras, depth: Tensor, trust: Tensor, planes: Tensor,
    min_cosine: float, slack: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Colours of points of a surface that is drawn into a photo, and weights to blend several photos' with.

    A point is seen where it lies a pixel or more within the photo, where the cosine of the angle between its normal and
    the way to the camera is over ``min_cosine``, and where the drawn surface isn't in front of it by more than it
    recedes by within ``slack`` pixels: ``z <= depth + z * slack / (focal length * cosine)``. Its weight is the trust in
    the pixel times the squared cosine and the pixels per area (Buehler et al. 2001, "Unstructured Lumigraph Rendering",
    section 4, for whom they are penalties of angle and resolution).

    Args:
        positions: [3, P] in the camera's frame of reference, x, y and z in planes.
        normals: [3, P] unit.
        camera: one pinhole camera.
        depth: [H, W] z of the drawn surface at the pixels' centres, 0 where there is none.
        trust: [H, W] of the pixels.
        planes: [C, H, W] the photo.
        min_cosine: 0 or more.
        slack: pixels.

    Returns:
        Weights ``trust * (cosine * focal length / z)^2`` [P], 0 where a point isn't seen, and colours [C, P], bilinear,
        0 where the weight is.
    """
    dtype, (height, width) = planes.dtype, depth.shape
    points = positions.T.to(dtype)
    camera = replace(camera, world_from_cam=camera.world_from_cam.to(dtype), intrinsics=camera.intrinsics.to(dtype))
    pixels, z = (found[0] for found in project(camera, points))
    towards = camera.world_from_cam[0, :3, 3] - points
    cosine = (towards * normals.T.to(dtype)).sum(1) / towards.norm(dim=1)
    u, v = pixels.unbind(1)
    inside = (u > 1) & (u < width - 1) & (v > 1) & (v < height - 1) & (z > 0) & (cosine > min_cosine)
    focal = camera.intrinsics[0, :2].mean()
    row, column = (torch.where(inside, along, 1.0) for along in (v, u))
    front = depth[row.long(), column.long()].to(dtype)
    seen = inside & (front > 0) & (z <= front + z * slack / (focal * cosine))
    weight = _bilinear(trust[None].to(dtype), row, column)[0] * (cosine * focal / z) ** 2
    weight = torch.where(seen, weight, 0.0)
    return weight, torch.where(weight > 0, _bilinear(planes, row, column), 0.0)


def _bilinear(planes: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Values [C, P] between the pixels' centres, which lie at +0.5."""
    y, x = row - 0.5, column - 0.5
    top, left = y.floor().long(), x.floor().long()
    b, a = y - top, x - left
    upper = (1 - a) * planes[:, top, left] + a * planes[:, top, left + 1]
    lower = (1 - a) * planes[:, top + 1, left] + a * planes[:, top + 1, left + 1]
    return (1 - b) * upper + b * lower
