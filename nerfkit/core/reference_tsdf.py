"""TSDF integration in plain PyTorch: the definition that the kernels are tested against.

Curless and Levoy, "A Volumetric Method for Building Complex Models from Range Images", SIGGRAPH 1996, section 3:
every voxel keeps the weighted mean of the truncated distances to the surfaces that the cameras see along its pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.core.volume import Volume

_SLAB_VOXELS = 1 << 20  # bounds the memory of the intermediate tensors


def tsdf_integrate(
    volume: Volume,
    depth: Tensor,
    rgb: Tensor,
    camera: Cameras,
    weight: Tensor | None = None,
) -> None:
    """Fuses one depth map into ``volume``, in place.

    For a voxel at camera coordinates ``x, y, z`` and pixel ``p``: ``sdf = depth(p) - z``. Where
    ``sdf >= -truncation``, ``tsdf <- (W tsdf + w min(1, sdf / truncation)) / (W + w)`` and ``W <- W + w``.
    Colours are averaged likewise, where also ``sdf <= truncation``.

    ``depth(p)`` interpolates 1/depth between the four nearest pixel centres (+0.5), which is exact on planes; at
    the image's border and where the four are not all seen or differ by more than ``truncation``, it is the depth
    of the pixel that holds ``p``, so that no surface appears between a foreground and its background. Weight and
    colour are those of the pixel that holds ``p``.

    Args:
        volume: the volume, in the scene frame.
        depth: [H, W] float32, z along the optical axis in scene units; 0 (or less) where nothing is seen.
        rgb: [H, W, 3] uint8.
        camera: one pinhole camera (C = 1) in the scene frame, H x W pixels.
        weight: [H, W] float32 confidence >= 0; all ones if not given. Pixels of weight 0 are skipped.

    Not differentiable.
    """
    nx, ny, nz = volume.shape
    rows = max(1, _SLAB_VOXELS // max(1, ny * nz))
    for start in range(0, nx, rows):
        _integrate_slab(volume, slice(start, min(nx, start + rows)), depth, rgb, camera, weight)


def _integrate_slab(
    volume: Volume,
    slab: slice,
    depth: Tensor,
    rgb: Tensor,
    camera: Cameras,
    weight: Tensor | None,
) -> None:
    u, v, z = _project(volume, slab, camera)  # [S, Y, Z] each
    height, width = depth.shape
    column, row = u.floor().long(), v.floor().long()
    inside = (z > 0) & (u >= 0) & (v >= 0) & (u < width) & (v < height)
    column, row = column.clamp(0, width - 1), row.clamp(0, height - 1)
    seen = _interpolated(depth, u, v, column, row, volume.truncation)
    w = torch.ones_like(z) if weight is None else weight[row, column]
    sdf = seen - z
    used = inside & (seen > 0) & (w > 0) & (sdf >= -volume.truncation)
    _average(
        volume.tsdf[slab],
        volume.weight[slab],
        (sdf / volume.truncation).clamp_max(1),
        w * used,
    )
    near = w * (used & (sdf <= volume.truncation))
    color = volume.color[slab]
    color_weight = color[..., 3].clone()
    for channel in range(3):
        _average(
            color[..., channel],
            color_weight.clone(),
            rgb[row, column, channel].float(),
            near,
        )
    color[..., 3] = color_weight + near


def _project(volume: Volume, slab: slice, camera: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Pixel coordinates and depths of the voxel centres of a slab."""
    axes = [torch.arange(n, dtype=torch.float32, device=volume.tsdf.device) for n in volume.shape]
    x, y, z = (volume.origin[a] + volume.voxel_size * axes[a] for a in range(3))
    cam_from_world = camera.cam_from_world[0].float()  # single numbers of the CPU go with any device's tensors
    x, y, z = x[slab][:, None, None], y[None, :, None], z[None, None, :]
    cam = [m[0] * x + m[1] * y + m[2] * z + m[3] for m in cam_from_world[:3]]
    fx, fy, cx, cy = camera.intrinsics[0].float()
    safe = torch.where(cam[2] > 0, cam[2], torch.ones_like(cam[2]))
    return fx * cam[0] / safe + cx, fy * cam[1] / safe + cy, cam[2]


def _interpolated(depth: Tensor, u: Tensor, v: Tensor, column: Tensor, row: Tensor, truncation: float) -> Tensor:
    height, width = depth.shape
    nearest = depth[row, column]
    left, top = (u - 0.5).floor(), (v - 0.5).floor()
    whole = (left >= 0) & (top >= 0) & (left + 1 < width) & (top + 1 < height)
    a, b = u - 0.5 - left, v - 0.5 - top  # in [0, 1)
    x0, y0 = (
        left.long().clamp(0, max(0, width - 2)),
        top.long().clamp(0, max(0, height - 2)),
    )
    x1, y1 = (x0 + 1).clamp_max(width - 1), (y0 + 1).clamp_max(height - 1)
    corners = [depth[y0, x0], depth[y0, x1], depth[y1, x0], depth[y1, x1]]
    low = torch.minimum(torch.minimum(corners[0], corners[1]), torch.minimum(corners[2], corners[3]))
    high = torch.maximum(torch.maximum(corners[0], corners[1]), torch.maximum(corners[2], corners[3]))
    smooth = whole & (low > 0) & (high - low <= truncation)
    inverse = [1 / torch.where(smooth, corner, torch.ones_like(corner)) for corner in corners]
    upper = inverse[0] + a * (inverse[1] - inverse[0])
    lower = inverse[2] + a * (inverse[3] - inverse[2])
    return torch.where(smooth, 1 / (upper + b * (lower - upper)), nearest)


def _average(mean: Tensor, total: Tensor, value: Tensor, w: Tensor) -> None:
    """Running weighted mean, in place: ``mean += w / (total + w) (value - mean)``."""
    share = w / (total + w).clamp_min(1e-20)
    mean += share * (value - mean)
    total += w
