"""Losses that bring Gaussians onto the surfaces they show: flat, and with the normals that their depth has."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.core.directions import unit
from nerfkit.core.types import Rasterized
from nerfkit.models.devices import sent

_LEAST_ALPHA = 1e-2  # below, nothing is seen that would have a depth


def normal_loss(drawn: Rasterized, camera: Cameras) -> Tensor:
    """How far the splats' normals are from those of the surface that their depths make (Huang et al. 2024, eq. 14).

    The mean over pixels of ``sum_i w_i (1 - n_i . N)``, with N the normal of the map of expected depths.

    Args:
        drawn: layers "rgb+depth+normal", of ``camera``. Differentiable.
        camera: C = 1, pinhole.
    """
    alpha = drawn.alpha.clamp_min(_LEAST_ALPHA)
    normals = depth_normals(drawn.depth / alpha, camera)  # [3, H - 2, W - 2]
    world_from_cam = sent(camera.world_from_cam[0, :3, :3].to(normals.dtype), normals.device)
    splats = torch.tensordot(world_from_cam.T, drawn.normal[:, 1:-1, 1:-1], 1)  # in the camera's frame
    return (drawn.alpha[1:-1, 1:-1] - (splats * normals).sum(0)).mean()


def median_loss(drawn: Rasterized) -> Tensor:
    """The mean relative difference between expected and median depth: it vanishes where all light comes from one place.

    The median is held, so that what lies before or behind it gives way.
    """
    median = drawn.median_depth
    assert median is not None
    expected = drawn.depth / drawn.alpha.clamp_min(_LEAST_ALPHA)
    return torch.where(median > 0, (expected - median).abs() / median.clamp_min(1e-6), 0).mean()


def depth_normals(depth: Tensor, camera: Cameras) -> Tensor:
    """Unit normals [3, H - 2, W - 2] of a depth map [H, W] at its inner pixels, camera frame, towards the camera.

    The surface's point at a pixel is ``depth (x', y', 1)`` with ``x' = (x - cx) / fx``; the cross product of its
    derivatives along x and y, by central differences, is the normal, up to a factor.
    """
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    height, width = depth.shape
    along_x = (depth[1:-1, 2:] - depth[1:-1, :-2]) / 2
    along_y = (depth[2:, 1:-1] - depth[:-2, 1:-1]) / 2
    x = torch.arange(1, width - 1, device=depth.device) + (0.5 - cx)
    y = torch.arange(1, height - 1, device=depth.device)[:, None] + (0.5 - cy)
    normal = torch.stack([fx * along_x, fy * along_y, -(depth[1:-1, 1:-1] + x * along_x + y * along_y)])
    return unit(normal)


def flatness_loss(log_scales: Tensor) -> Tensor:
    """The mean length of the shortest axes, scene units (Chen et al. 2024, PGSR, eq. 6); of log scales [N, 3]."""
    return log_scales.amin(1).exp().mean()
