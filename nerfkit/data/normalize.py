"""The scene frame: up is +Z, the cameras' focus is the origin, the cameras lie in the unit ball."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.data.similarity import Similarity


def scene_from_world(world_from_cam: Tensor, points: Tensor | None = None) -> Similarity:
    """The similarity that brings cameras [C, 4, 4] (OpenCV axes) into the scene frame.

    It turns with the cameras: the same photos in another world frame give the same scene frame. The
    right-hand direction of the first camera, laid flat, becomes +X. ``points`` [P, 3] (world frame) are
    looked at only where the optical axes have no common focus.
    """
    poses = world_from_cam.double()
    up = up_direction(poses)
    center = focus(poses, None if points is None else points.double())
    rotation = _rotation(poses[0, :3, :3], up)
    radius = float((poses[:, :3, 3] - center).norm(dim=1).max())
    scale = 1 / (radius * (1 + 1e-6)) if radius > 0 else 1.0  # the margin outlives rounding to float32
    return Similarity(scale, rotation, -scale * (rotation @ center))


def up_direction(world_from_cam: Tensor) -> Tensor:
    """The unit up vector [3] of cameras [C, 4, 4].

    The mean of the cameras' up vectors leans with cameras that look down from one side. Photographers
    keep the horizon level, so where the cameras' right vectors span a plane, its normal is taken,
    unless it is far (45 degrees) from that mean.
    """
    right, up = world_from_cam[:, :3, 0], -world_from_cam[:, :3, 1]
    mean = torch.nn.functional.normalize(up.mean(0), dim=0)
    if float(up.mean(0).norm()) < 1e-6:  # cameras rolled every way: any up is as good
        mean = up[0]
    values, vectors = torch.linalg.eigh(right.T @ right / len(right))
    normal = vectors[:, 0] * torch.sign(vectors[:, 0] @ mean)
    return normal if float(values[1]) > 0.03 and float(normal @ mean) > 0.707 else mean


def focus(world_from_cam: Tensor, points: Tensor | None = None) -> Tensor:
    """The point [3] that the cameras look at: nearest to all optical axes in the least-squares sense.

    Axes that pass far by weigh less (iteratively reweighted, weight 1 / distance). Where the axes are nearly
    parallel, or their focus lies behind most cameras, it is the median of the ``points``, and without
    points a place in front of the mean camera, at the cameras' spread.
    """
    origins, axes = world_from_cam[:, :3, 3], world_from_cam[:, :3, 2]
    across = torch.eye(3, dtype=axes.dtype) - axes[:, :, None] * axes[:, None, :]  # [C, 3, 3]
    if float(torch.linalg.eigvalsh(across.mean(0))[0]) > 1e-3:
        weights = torch.ones(len(axes), dtype=axes.dtype)
        center = _nearest(across, origins, weights)
        for _ in range(20):
            distance = (across @ (center - origins)[:, :, None])[:, :, 0].norm(dim=1)
            weights = 1 / (distance + 0.1 * distance.median() + 1e-9 * origins.std())
            center = _nearest(across, origins, weights)
        if float((((center - origins) * axes).sum(1) > 0).double().mean()) > 0.5:
            return center
    if points is not None and len(points):
        return points.median(0).values
    spread = (origins - origins.mean(0)).norm(dim=1).max()
    return origins.mean(0) + spread.clamp_min(1e-9) * torch.nn.functional.normalize(axes.mean(0), dim=0)


def _nearest(across: Tensor, origins: Tensor, weights: Tensor) -> Tensor:
    weighted = across * weights[:, None, None]
    return torch.linalg.solve(weighted.sum(0), (weighted @ origins[:, :, None]).sum(0))[:, 0]


def _rotation(first_camera: Tensor, up: Tensor) -> Tensor:
    """Rotation [3, 3] whose rows are the scene's axes in the world."""
    flat = first_camera - up[:, None] * (up @ first_camera)  # the camera's axes without their vertical part
    x, z = flat[:, 0], flat[:, 2]
    if float(x.norm()) < 0.5:  # a camera turned to portrait: its depth axis, or else its y axis, is level
        level = z if float(z.norm()) > 0.5 else flat[:, 1]
        x = torch.linalg.cross(level, up)
    x = torch.nn.functional.normalize(x, dim=0)
    return torch.stack([x, torch.linalg.cross(up, x), up])
