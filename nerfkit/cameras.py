"""Camera models, rays, poses and projection: the ground floor. Plain torch, any float dtype."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Rays

CONE = 2 / 12**0.5  # of a pixel's side: the radius of the cone that stands for it
_NEWTON_STEPS = 20  # at a rim, where the Jacobian is singular, each one only halves the error
_NEWTON_CONVERGED = 1e-3  # the next step is smaller than this

_Function = Callable[[Tensor, Tensor], Tensor]


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
    if cameras.model == "fisheye":
        r = _radius(xy)  # [C, P, 1]
        return xy * (_fisheye(k, torch.atan(r)) / r)
    return _opencv(k, xy)


def undistort(cameras: Cameras, xy_distorted: Tensor) -> Tensor:
    """The inverse of :func:`distort`, with the inverse function's gradient.

    Coordinates that nothing is distorted to give some finite value, and pass no gradient on.
    """
    direction = _directions(cameras, xy_distorted)
    return direction[..., :2] / direction[..., 2:]


def rays(cameras: Cameras, camera_index: Tensor, pixels: Tensor) -> Rays:
    """Unit rays in the world frame through ``pixels`` [R, 2] (centres at +0.5) of cameras [R].

    Pixels stand for cones (Barron et al. 2021, Mip-NeRF, section 3.1): their radii have no gradient.
    """
    world_from_cam = cameras.world_from_cam[camera_index]
    if cameras.model == "equirect":
        longitude = (pixels[:, 0] / cameras.width - 0.5) * 2 * torch.pi
        latitude = (pixels[:, 1] / cameras.height - 0.5) * torch.pi
        direction = torch.stack(
            [latitude.cos() * longitude.sin(), latitude.sin(), latitude.cos() * longitude.cos()], -1
        )
        radii = torch.full_like(longitude, CONE * 2 * torch.pi / cameras.width)
    else:
        k = cameras.intrinsics[camera_index]
        distortion = None if cameras.distortion is None else cameras.distortion[camera_index]
        per_ray = Cameras(world_from_cam, k, cameras.width, cameras.height, cameras.model, distortion)
        direction = _directions(per_ray, ((pixels - k[:, 2:]) / k[:, :2])[:, None])[:, 0]
        direction = torch.nn.functional.normalize(direction, dim=-1)
        # A fisheye's pixels are steps of an angle, like a panorama's; else z is 1 / |(x, y, 1)|.
        narrower = 1.0 if cameras.model == "fisheye" else direction[:, 2].abs()
        radii = (CONE / k[:, 0] * narrower).detach()
    direction = (world_from_cam[:, :3, :3] @ direction[:, :, None])[:, :, 0]
    return Rays(world_from_cam[:, :3, 3], direction, camera_index, radii)


def _directions(cameras: Cameras, xy_distorted: Tensor) -> Tensor:
    """Where distorted coordinates [C, P, 2] look in the camera's frame: [C, P, 3], of any length."""
    xy, one = xy_distorted, torch.ones_like(xy_distorted[..., :1])
    if cameras.model == "pinhole" or cameras.distortion is None:
        return torch.cat([xy, one], -1)
    k = cameras.distortion[:, None, :]  # [C, 1, K]
    if cameras.model == "fisheye":
        r = _radius(xy)
        theta = _invert(_fisheye, _fisheye_jacobian, k, r)
        return torch.cat([xy * (theta.sin() / r), theta.cos()], -1)
    return torch.cat([_invert(_opencv, _opencv_jacobian, k, xy), one], -1)


def _radius(xy: Tensor) -> Tensor:
    """Lengths [..., 1] to divide by: at zero neither the quotient nor its gradient is NaN."""
    return (xy * xy).sum(-1, keepdim=True).clamp_min(1e-24).sqrt()


def _fisheye(k: Tensor, theta: Tensor) -> Tensor:
    """OPENCV_FISHEYE: distorted angles [..., 1]."""
    t2 = theta * theta
    k1, k2, k3, k4 = k.split(1, -1)
    return theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))


def _fisheye_jacobian(k: Tensor, theta: Tensor) -> Tensor:
    """The derivative of :func:`_fisheye`: [..., 1, 1]."""
    t2 = theta * theta
    k1, k2, k3, k4 = k.split(1, -1)
    return (1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4))))[..., None]


def _opencv(k: Tensor, xy: Tensor) -> Tensor:
    """OPENCV: distorted coordinates [..., 2]."""
    x, y = xy.unbind(-1)
    k1, k2, p1, p2 = k.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * k2)
    dx = 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    dy = p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return torch.stack([x * radial + dx, y * radial + dy], -1)


def _opencv_jacobian(k: Tensor, xy: Tensor) -> Tensor:
    """The Jacobian of :func:`_opencv`, which is symmetric: [..., 2, 2]."""
    x, y = xy.unbind(-1)
    k1, k2, p1, p2 = k.unbind(-1)
    r2 = x * x + y * y
    radial, slope = 1 + r2 * (k1 + r2 * k2), 2 * k1 + 4 * r2 * k2
    xx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
    cross = slope * x * y + 2 * p1 * x + 2 * p2 * y
    yy = radial + slope * y * y + 6 * p1 * y + 2 * p2 * x
    return torch.stack([torch.stack([xx, cross], -1), torch.stack([cross, yy], -1)], -2)


def _invert(value: _Function, jacobian: _Function, k: Tensor, target: Tensor) -> Tensor:
    """The x with ``value(k, x) = target`` [..., D], by Newton's method.

    It starts at zero, where the Jacobian J of ``value`` is the identity, and never leaves the part around it in which J
    is positive definite: steps that would are halved, so that iterations for a target beyond the rim, where the
    polynomial turns back, end near it. Only a last step is differentiated, with J held fixed: that is the implicit
    function theorem, ``dx = J^-1 (d target - df/dk dk)``. Where there is no solution, no gradient passes.
    """

    def step(x: Tensor, factor: Tensor) -> Tensor:
        return torch.cholesky_solve((value(k, x) - target)[..., None], factor)[..., 0]

    with torch.no_grad():
        x, direction, share = torch.zeros_like(target), -target, torch.ones_like(target[..., :1])
        for _ in range(_NEWTON_STEPS):
            tried = x - share * direction
            factor, failed = torch.linalg.cholesky_ex(jacobian(k, tried))
            accepted = (failed == 0)[..., None]
            x = torch.where(accepted, tried, x)
            direction = torch.where(accepted, step(tried, factor).clamp(-1, 1), direction)
            share = torch.where(accepted, 1, share / 2)
        factor = torch.linalg.cholesky_ex(jacobian(k, x))[0]
        converged = (step(x, factor).abs() < _NEWTON_CONVERGED).all(-1, keepdim=True)
    return torch.where(converged, x - step(x, factor), x)


def moved(cameras: Cameras, to: torch.device | Tensor) -> Cameras:
    """The cameras with their arrays on a device, or on a tensor's and in its precision."""
    return dataclasses.replace(
        cameras,
        world_from_cam=cameras.world_from_cam.to(to),
        intrinsics=cameras.intrinsics.to(to),
        distortion=None if cameras.distortion is None else cameras.distortion.to(to),
    )
