"""The scene frame: up is +Z, the cameras' focus is the origin, the cameras lie in the unit ball."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from nerfkit.data import upright
from nerfkit.data.similarity import Similarity

UPRIGHT = math.radians(3)  # as near as this to what the cameras say, the world's own +Z is up


def scene_from_world(world_from_cam: Tensor, points: Tensor | None = None) -> Similarity:
    """The similarity that brings cameras [C, 4, 4] (OpenCV axes) into the scene frame.

    It turns with the cameras: the same photos in another world frame give the same scene frame. The
    right-hand direction of the first camera, laid flat, becomes +X. ``points`` [P, 3] (world frame) are
    looked at only where the optical axes have no common focus.
    """
    poses = world_from_cam.double()
    up = up_direction(poses)
    z = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    if float(up @ z) > math.cos(UPRIGHT):  # whoever made the world knew better: by its ground, by GPS, by construction
        up = z
    center = focus(poses, None if points is None else points.double())
    rotation = torch.from_numpy(upright.level_axes(poses[0].numpy(), up.numpy()))
    radius = float((poses[:, :3, 3] - center).norm(dim=1).max())
    scale = 1 / (radius * (1 + 1e-6)) if radius > 0 else 1.0  # the margin outlives rounding to float32
    return Similarity(scale, rotation, -scale * (rotation @ center))


def up_direction(world_from_cam: Tensor) -> Tensor:
    """The unit up vector [3] of cameras [C, 4, 4]: :func:`nerfkit.data.upright.up_direction`."""
    return torch.from_numpy(upright.up_direction(world_from_cam.double().numpy()))


def focus(world_from_cam: Tensor, points: Tensor | None = None) -> Tensor:
    """The point [3] that cameras [C, 4, 4] look at: :func:`nerfkit.data.upright.focus`."""
    given = None if points is None else points.double().numpy()
    return torch.from_numpy(upright.focus(world_from_cam.double().numpy(), given))
