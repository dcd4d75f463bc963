"""Camera models, rays, poses and projection: the ground floor. Plain torch, any float dtype."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Rays

_CONE = 2 / 12**0.5  # of a pixel's side: the radius of the cone that stands for it (Barron et al. 2021, section 3.1)


def pixel_centers(width: int, height: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Pixel centres ``x + 0.5, y + 0.5``, row by row: [H, W, 2]."""
    y, x = torch.meshgrid(torch.arange(height, dtype=dtype), torch.arange(width, dtype=dtype), indexing="ij")
    return torch.stack([x, y], -1) + 0.5


def resize(cameras: Cameras, width: int, height: int) -> Cameras:
    """The same cameras over images of another size.

    Pixel coordinates have their origin at the image's corner (centres at +0.5), so that all four
    intrinsics scale by the same factor per axis and no half-pixel shift appears.
    """
    sx, sy = width / cameras.width, height / cameras.height
    scale = cameras.intrinsics.new_tensor([sx, sy, sx, sy])
    return Cameras(cameras.world_from_cam, cameras.intrinsics * scale, width, height, cameras.model, cameras.distortion)


def look_at(eye: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """``world_from_cam`` [..., 4, 4] of cameras at ``eye`` that look at ``target`` (OpenCV axes).

    ``eye``, ``target`` and ``up`` are [..., 3] and broadcast; ``up`` must not be parallel to the view.
    """
    eye, target, up = torch.broadcast_tensors(eye, target, up)
    z = torch.nn.functional.normalize(target - eye, dim=-1)
    x = torch.nn.functional.normalize(torch.linalg.cross(z, up, dim=-1), dim=-1)
    y = torch.linalg.cross(z, x, dim=-1)
    out = torch.zeros(*eye.shape[:-1], 4, 4, dtype=eye.dtype)
    out[..., :3, 0], out[..., :3, 1], out[..., :3, 2], out[..., :3, 3] = x, y, z, eye
    out[..., 3, 3] = 1
    return out


def project(cameras: Cameras, x_world: Tensor) -> tuple[Tensor, Tensor]:
    """Projects world points [P, 3] into every camera: pixels [C, P, 2] and depths [C, P].

    Points at or behind the camera plane give meaningless pixels: look at the depth.
    """
    cam_from_world = cameras.cam_from_world
    x_cam = x_world @ cam_from_world[:, :3, :3].transpose(1, 2) + cam_from_world[:, None, :3, 3]  # [C, P, 3]
    depth = x_cam[..., 2]
    if cameras.model == "equirect":
        longitude = torch.atan2(x_cam[..., 0], depth)
        latitude = torch.atan2(x_cam[..., 1], torch.hypot(x_cam[..., 0], depth))
        u = (longitude / (2 * torch.pi) + 0.5) * cameras.width
        v = (latitude / torch.pi + 0.5) * cameras.height
        return torch.stack([u, v], -1), depth
    distorted = distort(cameras, x_cam[..., :2] / depth[..., None])
    return distorted * cameras.intrinsics[:, None, :2] + cameras.intrinsics[:, None, 2:], depth


def distort(cameras: Cameras, xy: Tensor) -> Tensor:
    """Normalised image coordinates [C, P, 2] to distorted ones, by COLMAP's OPENCV and OPENCV_FISHEYE."""
    if cameras.model == "pinhole" or cameras.distortion is None:
        return xy
    k = cameras.distortion[:, None, :]  # [C, 1, K]
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    if cameras.model == "fisheye":
        r = r2.sqrt().clamp_min(1e-12)
        theta = torch.atan(r)
        t2 = theta * theta
        factor = theta * (1 + t2 * (k[..., 0] + t2 * (k[..., 1] + t2 * (k[..., 2] + t2 * k[..., 3])))) / r
        return xy * factor[..., None]
    radial = 1 + r2 * (k[..., 0] + r2 * k[..., 1])
    p1, p2 = k[..., 2], k[..., 3]
    dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return torch.stack([x * radial + dx, y * radial + dy], -1)


def undistort(cameras: Cameras, xy_distorted: Tensor, iterations: int = 20) -> Tensor:
    """The inverse of :func:`distort` by Newton's method with autodiff-free central differences."""
    if cameras.model == "pinhole" or cameras.distortion is None:
        return xy_distorted
    xy = xy_distorted.clone()
    step = 1e-6 if xy.dtype == torch.float64 else 1e-3
    for _ in range(iterations):
        residual = distort(cameras, xy) - xy_distorted  # [C, P, 2]
        columns = []
        for axis in range(2):
            offset = torch.zeros_like(xy)
            offset[..., axis] = step
            columns.append((distort(cameras, xy + offset) - distort(cameras, xy - offset)) / (2 * step))
        (a, c), (b, d) = columns[0].unbind(-1), columns[1].unbind(-1)
        determinant = a * d - b * c
        x = (d * residual[..., 0] - b * residual[..., 1]) / determinant
        y = (a * residual[..., 1] - c * residual[..., 0]) / determinant
        xy = xy - torch.stack([x, y], -1)
    return xy


def rays(cameras: Cameras, camera_index: Tensor, pixels: Tensor) -> Rays:
    """Unit rays in the world frame through ``pixels`` [R, 2] (centres at +0.5) of cameras [R], with their cones."""
    world_from_cam = cameras.world_from_cam[camera_index]
    if cameras.model == "equirect":
        longitude = (pixels[:, 0] / cameras.width - 0.5) * 2 * torch.pi
        latitude = (pixels[:, 1] / cameras.height - 0.5) * torch.pi
        direction = torch.stack(
            [latitude.cos() * longitude.sin(), latitude.sin(), latitude.cos() * longitude.cos()], -1
        )
        radii = torch.full_like(longitude, _CONE * 2 * torch.pi / cameras.width)
    else:
        k = cameras.intrinsics[camera_index]
        xy = (pixels - k[:, 2:]) / k[:, :2]
        if cameras.distortion is not None:
            per_ray = Cameras(
                world_from_cam, k, cameras.width, cameras.height, cameras.model, cameras.distortion[camera_index]
            )
            xy = undistort(per_ray, xy[:, None])[:, 0]
        direction = torch.cat([xy, torch.ones_like(xy[:, :1])], -1)
        radii = (_CONE / (k[:, 0] * direction.norm(dim=-1))).detach()
    direction = torch.nn.functional.normalize(direction, dim=-1)
    direction = (world_from_cam[:, :3, :3] @ direction[:, :, None])[:, :, 0]
    return Rays(world_from_cam[:, :3, 3], direction, camera_index, radii)
