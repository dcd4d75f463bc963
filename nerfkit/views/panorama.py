"""Pictures of all directions (360) or the half before the eye (VR180), from pinhole drawings on a cube's faces.

A model draws pinhole cameras; a panorama is put together from six that look along the axes. What a drawing shows near
its edges depends a little on where it looks (splats are flattened on its plane and sorted by its depth), so faces
overlap and fade into each other: no seam is left.

Equirectangular pictures are those of :func:`nerfkit.cameras.rays`: columns are even in longitude, rows in latitude.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Rendering
from nerfkit.views.draw import Channels, Draw

OVERLAP = math.radians(4)  # that a face reaches beyond its cube's edge
_FINER = 1.2  # a face's pixels in its middle, where they are largest, in one of the panorama's
_MIST = 0.01  # alpha of what has no side and no distance

# Face's axes (right, down, forward) in the camera's: front, right, back, left, up, down.
_FACES = (
    ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
    ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
    ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
)


@dataclass(frozen=True)
class _Face:
    """Where a face's pixels go."""

    cam_from_face: Tensor  # [3, 3]
    size: tuple[int, int]  # width and height of the part that is needed
    center: tuple[float, float]  # cx cy
    target: Tensor  # [P] of the panorama's pixels, row by row
    at: Tensor  # [P, 2] the face's pixels for them
    share: Tensor  # [P] of what they show; over the faces they add up to 1
    stretch: Tensor  # [P] distance from the eye in a unit of the face's depth


def panorama(draw: Draw, degrees: int = 360) -> Draw:
    """Draws equirectangular pictures: of ``degrees`` from left to right, 360 or 180, and 180 from top to bottom.

    Cameras give their place, their heading and the picture's size; their field of view plays no part. Depth is the
    distance from the eye.
    """

    def drawn(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        faces, focal = _faces(camera.width, camera.height, degrees)
        needed: Channels = channels | {"alpha"} if channels & {"depth", "normal"} else channels
        sums: dict[str, Tensor] = {}
        background = None
        for face in faces:
            one = draw(_face_camera(camera, face, focal), needed, moment)
            background = one.background
            _add(sums, one, face, camera.width * camera.height)
        return _finished(sums, camera, background)

    return drawn


def _face_camera(camera: Cameras, face: _Face, focal: float) -> Cameras:
    pose = camera.world_from_cam.clone()
    pose[0, :3, :3] = pose[0, :3, :3] @ face.cam_from_face.to(pose)
    intrinsics = camera.intrinsics.new_tensor([[focal, focal, *face.center]])
    return Cameras(pose, intrinsics, *face.size)


def _add(sums: dict[str, Tensor], one: Rendering, face: _Face, pixels: int) -> None:
    """Adds a face to the panorama's sums, all [pixels, C]."""

    def add(name: str, values: Tensor, smooth: bool = True, weight: Tensor | None = None) -> Tensor:
        shown = _sampled(values, face.at, smooth)
        if name not in sums:
            sums[name] = shown.new_zeros(pixels, shown.shape[1])
        share = face.share.to(shown)[:, None]
        sums[name].index_add_(0, face.target.to(shown.device), shown * (share if weight is None else share * weight))
        return shown

    if one.rgb is not None:
        add("rgb", one.rgb)
    if one.alpha is not None:
        add("alpha", one.alpha[..., None])
    if one.normal is not None:
        assert one.alpha is not None
        weight = _sampled(one.alpha[..., None], face.at, smooth=False)
        add("normal", one.normal, smooth=False, weight=weight)
    if one.depth is not None:
        assert one.alpha is not None
        seen = _sampled((one.alpha * (one.depth > 0))[..., None], face.at, smooth=False)
        add("depth", one.depth[..., None], smooth=False, weight=seen * face.stretch.to(seen)[:, None])
        add("seen", torch.ones_like(one.depth)[..., None], smooth=False, weight=seen)


def _sampled(values: Tensor, at: Tensor, smooth: bool) -> Tensor:
    """An image [H, W, C] at pixels [P, 2] (centres at +0.5): [P, C]."""
    size = at.new_tensor([values.shape[1], values.shape[0]])
    grid = (at / size * 2 - 1).to(values)[None, None]  # [1, 1, P, 2]
    image = values.permute(2, 0, 1)[None].contiguous()
    mode = "bilinear" if smooth else "nearest"  # depths on either side of an edge have no mean
    return torch.nn.functional.grid_sample(image, grid, mode, "border", align_corners=False)[0, :, 0].T


def _finished(sums: dict[str, Tensor], camera: Cameras, background: Tensor | None) -> Rendering:
    def image(name: str) -> Tensor | None:
        return sums[name].view(camera.height, camera.width, -1) if name in sums else None

    rgb, alpha, depth, normal = (image(name) for name in ("rgb", "alpha", "depth", "normal"))
    out = Rendering(rgb=rgb, background=background)
    if alpha is not None:
        out.alpha = alpha[..., 0]
    if depth is not None:
        seen = image("seen")
        assert seen is not None
        out.depth = torch.where(seen > _MIST, depth / seen.clamp_min(_MIST), 0)[..., 0]
    if normal is not None:
        length = normal.norm(dim=-1, keepdim=True)
        out.normal = torch.where(length > _MIST, normal / length.clamp_min(_MIST), 0)
    return out


@functools.lru_cache(maxsize=2)
def _faces(width: int, height: int, degrees: int) -> tuple[Sequence[_Face], float]:
    """The faces that a panorama needs, and their focal length in pixels."""
    half_angle = math.pi / 4 + OVERLAP
    focal = _FINER * max(width / math.radians(degrees), height / math.pi)  # pixels in a radian, in a face's middle
    directions = directions_of(width, height, degrees).view(-1, 3)
    candidates, total = [], torch.zeros(len(directions))
    for axes in _FACES:
        rotation = torch.tensor(axes, dtype=torch.float32).T  # columns are the face's axes
        in_face = directions @ rotation
        z = in_face[:, 2]
        beside = in_face[:, :2].abs().amax(1) / z.clamp_min(1e-9)
        # Full up to OVERLAP before the cube's edge, none from OVERLAP behind it; half on it, where two faces meet.
        share = ((half_angle - torch.atan(beside)) / (2 * OVERLAP)).clamp(0, 1) * (z > 0)
        target = (share > 0).nonzero()[:, 0]
        total += share
        if len(target):
            candidates.append((rotation, target, in_face[target], share[target]))
    faces = []
    for rotation, target, in_face, share in candidates:
        at = in_face[:, :2] / in_face[:, 2:] * focal
        low, high = (at.amin(0) - 1).floor(), (at.amax(0) + 1).ceil()  # with neighbours to interpolate from
        size, stretch = (high - low).int().tolist(), 1 / in_face[:, 2]
        center = (-float(low[0]), -float(low[1]))
        share = share / total[target]
        faces.append(_Face(rotation, (size[0], size[1]), center, target, at - low, share, stretch))
    return faces, focal


def directions_of(width: int, height: int, degrees: int) -> Tensor:
    """Unit directions [H, W, 3] of a panorama's pixels, camera axes."""
    longitude = ((torch.arange(width) + 0.5) / width - 0.5) * math.radians(degrees)
    latitude = ((torch.arange(height) + 0.5) / height - 0.5) * math.pi
    level = latitude.cos()[:, None]
    x, z = level * longitude.sin(), level * longitude.cos()
    return torch.stack([x, latitude.sin()[:, None].expand_as(x), z], -1)


def level(cameras: Cameras, width: int, height: int) -> Cameras:
    """The cameras at the size of a panorama, and upright (the scene's up is +Z): no one who looks around tilts."""
    poses = cameras.world_from_cam.double()
    up = poses.new_tensor([0.0, 0.0, 1.0])
    forward, above = poses[:, :3, 2], -poses[:, :3, 1]
    steep = forward[:, 2:].abs() > math.cos(
        math.radians(5)
    )  # straight up or down: the head's top points ahead, or back
    ahead = torch.where(steep, -forward[:, 2:].sign() * above, forward) * poses.new_tensor([1.0, 1.0, 0.0])
    z = torch.nn.functional.normalize(ahead, dim=1)
    x = torch.linalg.cross(z, up.expand_as(z), dim=1)
    poses = poses.clone()
    poses[:, :3, :3] = torch.stack([x, -up.expand_as(z), z], -1)
    return dataclasses.replace(cameras, world_from_cam=poses.to(cameras.world_from_cam), width=width, height=height)
