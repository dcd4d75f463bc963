"""Wide pictures: panoramas of all directions (360) or of the half before the eye (VR180), and fisheye.

A model that is drawn along rays draws each pixel's own; others draw pinhole cameras, from which wide pictures are put
together (:mod:`nerfkit.views.parts`).
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from nerfkit.cameras import pixel_centers
from nerfkit.contracts import Cameras, HasRays, Rendering
from nerfkit.views.draw import Channels, Draw
from nerfkit.views.lenses import Equirect, Lens
from nerfkit.views.parts import Part, parts_of

_MIST = 0.01  # alpha of what has no side and no distance
_RAYS = 1 << 18  # made at once
_STEEP = math.cos(math.radians(5))  # of an axis that looks so straight up or down that it has no heading


def panorama(draw: Draw, lens: Lens) -> Draw:
    """Wide pictures from a drawing of pinhole cameras.

    Cameras give their place, their axes and the picture's size, and for a fisheye their focal length.
    """

    def drawn(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        needed: Channels = channels | {"alpha"} if channels & {"depth", "normal"} else channels
        eye = lens.eye if isinstance(lens, Equirect) else 0.0
        sums: dict[str, Tensor] = {}
        background = None
        for part in parts_of(lens, camera):
            one = draw(_part_camera(camera, part, eye), needed, moment)
            background = one.background
            _add(sums, one, part, camera.width * camera.height)
        return _finished(sums, camera, background)

    return drawn


def along_rays(model: HasRays, lens: Lens) -> Draw:
    """Wide pictures of a model that draws each pixel's ray; cameras as in :func:`panorama`."""

    def drawn(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        pixels = pixel_centers(camera.width, camera.height).view(-1, 2)
        parts = [model.draw_rays(lens.rays(camera, some), channels) for some in pixels.split(_RAYS)]

        def image(name: str) -> Tensor | None:
            values = [getattr(part, name) for part in parts]
            return (
                None if values[0] is None else torch.cat(values).view(camera.height, camera.width, *values[0].shape[1:])
            )

        return Rendering(image("rgb"), image("alpha"), image("depth"), image("normal"), parts[0].background)

    return drawn


def _part_camera(camera: Cameras, part: Part, eye: float) -> Cameras:
    pose = camera.world_from_cam.clone()
    pose[0, :3, 3] += eye * (pose[0, :3, :3] @ part.aside.to(pose))
    pose[0, :3, :3] = pose[0, :3, :3] @ part.cam_from_part.to(pose)
    intrinsics = camera.intrinsics.new_tensor([[part.focal, part.focal, *part.center]])
    return Cameras(pose, intrinsics, *part.size)


def _add(sums: dict[str, Tensor], one: Rendering, part: Part, pixels: int) -> None:
    """Adds a part to the wide picture's sums, all [pixels, C]."""

    def add(name: str, values: Tensor, smooth: bool = True, weight: Tensor | None = None) -> None:
        shown = _sampled(values, part.at, smooth)
        if name not in sums:
            sums[name] = shown.new_zeros(pixels, shown.shape[1])
        share = part.share.to(shown)[:, None]
        sums[name].index_add_(0, part.target.to(shown.device), shown * (share if weight is None else share * weight))

    if one.rgb is not None:
        add("rgb", one.rgb)
    if one.alpha is not None:
        add("alpha", one.alpha[..., None])
    if one.normal is not None:
        assert one.alpha is not None
        weight = _sampled(one.alpha[..., None], part.at, smooth=False)
        add("normal", one.normal, smooth=False, weight=weight)
    if one.depth is not None:
        assert one.alpha is not None
        seen = _sampled((one.alpha * (one.depth > 0))[..., None], part.at, smooth=False)
        add("depth", one.depth[..., None], smooth=False, weight=seen * part.stretch.to(seen)[:, None])
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


def level(cameras: Cameras, width: int, height: int) -> Cameras:
    """The cameras at the size of a panorama, and upright (the scene's up is +Z): no one who looks around tilts."""
    poses = cameras.world_from_cam.double()
    up = poses.new_tensor([0.0, 0.0, 1.0])
    forward, above = poses[:, :3, 2], -poses[:, :3, 1]
    steep = forward[:, 2:].abs() > _STEEP  # the head's top points ahead, or back
    ahead = torch.where(steep, -forward[:, 2:].sign() * above, forward) * poses.new_tensor([1.0, 1.0, 0.0])
    z = torch.nn.functional.normalize(ahead, dim=1)
    x = torch.linalg.cross(z, up.expand_as(z), dim=1)
    poses = poses.clone()
    poses[:, :3, :3] = torch.stack([x, -up.expand_as(z), z], -1)
    return dataclasses.replace(cameras, world_from_cam=poses.to(cameras.world_from_cam), width=width, height=height)
