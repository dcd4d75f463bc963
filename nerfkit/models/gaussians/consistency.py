"""What a neighbouring photo says of a surface: patches look the same in both where it is right.

After Chen et al. 2024, PGSR, section IV-B: at a pixel the drawn depth and normal are a plane, through which the patch
around it is seen in the neighbour. The neighbour's own depths only tell what it sees; nothing is learned of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.core.directions import unit
from nerfkit.core.types import Rasterized
from nerfkit.data.images import Photo
from nerfkit.models.devices import constant, sent

_PIXELS = 1024  # looked at in a step
_RADIUS = 3  # of patches, in pixels: 7 x 7
_NEIGHBOURS = 8  # of a photo, at most
_MOST_TURNED = 30.0  # degrees between the optical axes of neighbours
_LEAST_APART = 0.01  # scene units between their centres
_LEAST_ALPHA = 1e-2
_LEAST_DEPTH = 1e-3
_LEAST_FACING = 0.05  # cosine between normal and ray: patches seen at a flatter angle have no plane
_LARGEST_ERROR = 1.0  # pixels: beyond it, the neighbour sees something else
_LEAST_DEVIATION = 1.5 / 255  # of a patch's greys: flatter ones say nothing
_UNLIKE = 0.9  # 1 - NCC, from which patches show different things


@dataclass(frozen=True)
class Planes:
    """The surface at pixels of a picture, by its camera's axes."""

    pixels: Tensor  # [P, 2] int64
    rays: Tensor  # [P, 3], z = 1
    depths: Tensor  # [P]
    normals: Tensor  # [P, 3] unit

    def at(self, rows: Tensor) -> Planes:
        return Planes(self.pixels[rows], self.rays[rows], self.depths[rows], self.normals[rows])


def neighbours(cameras: Sequence[Cameras]) -> list[list[int]]:
    """Of each camera (C = 1) the nearest ones that look its way, nearest first; none where pictures hold no patch."""
    poses = torch.cat([camera.world_from_cam for camera in cameras])
    centers, axes = poses[:, :3, 3], poses[:, :3, 2]
    apart = torch.cdist(centers, centers)
    turned = torch.rad2deg(torch.acos((axes @ axes.T).clamp(-1, 1)))
    fits = torch.tensor([min(camera.width, camera.height) > 2 * _RADIUS for camera in cameras])
    apart = torch.where(fits[:, None] & fits & (turned < _MOST_TURNED) & (apart > _LEAST_APART), apart, torch.inf)
    found, order = apart.topk(min(_NEIGHBOURS, len(cameras)), largest=False)
    return [row[seen].tolist() for row, seen in zip(order, found.isfinite(), strict=True)]


def patch_loss(
    drawn: Rasterized, camera: Cameras, here: Tensor, other: Cameras, there: Tensor, other_depth: Tensor,
    rng: torch.Generator,
) -> Tensor:  # fmt: skip
    """How unlike patches of a photo are where a neighbour sees their planes: 1 - NCC, which exposure doesn't change.

    The mean over patches that both see, by how well the depths agree (Chen et al. 2024, PGSR, section IV-B).

    Args:
        drawn: layers "rgb+depth+normal", with the median depth, of ``camera``. Differentiable.
        camera, other: C = 1, pinhole.
        here, there: [H, W] greys of the photos of the two cameras, NaN where they don't count.
        other_depth: [h, w] median depth at the neighbour, of any size.
    """
    planes = draw_planes(drawn, camera, rng)
    error = reprojection_error(planes, camera, other, other_depth)
    rows = (error < _LARGEST_ERROR).nonzero()[:, 0]
    unlike, compared = patch_difference(planes.at(rows), camera, here, other, there)
    like = unlike.detach() < _UNLIKE
    weights = (-error[rows[compared]]).exp()
    return torch.where(like, weights * unlike, 0).sum() / like.sum().clamp_min(1)


def draw_planes(drawn: Rasterized, camera: Cameras, rng: torch.Generator) -> Planes:
    """Random pixels, patches around which lie in the picture, and where the light of most comes from one place."""
    assert drawn.median_depth is not None
    size = torch.tensor([camera.width, camera.height])
    random = torch.rand(_PIXELS, 2, generator=rng)
    pixels = (_RADIUS + random * (size - 2 * _RADIUS)).long().minimum(size - 1 - _RADIUS)  # sums may be rounded up
    pixels = sent(pixels, drawn.alpha.device)
    flat = pixels[:, 1] * camera.width + pixels[:, 0]
    flat = flat[(drawn.median_depth.view(-1)[flat] > 0).nonzero()[:, 0]]
    pixels = torch.stack([flat % camera.width, flat // camera.width], 1)
    depths, normals = drawn.depth.view(-1)[flat], drawn.normal.view(3, -1)[:, flat]
    world_from_cam = sent(camera.world_from_cam[0, :3, :3].float(), depths.device)
    normal = unit(normals).T @ world_from_cam
    depth = depths / drawn.alpha.view(-1)[flat].clamp_min(_LEAST_ALPHA)
    return Planes(pixels, _rays(pixels, camera), depth, normal)


@torch.no_grad()
def reprojection_error(planes: Planes, camera: Cameras, other: Cameras, other_depth: Tensor) -> Tensor:
    """How many pixels from itself a pixel [P] comes back that goes to the neighbour by its own depth, and from there by
    the neighbour's (eq. 12); infinite where the neighbour has none."""
    turn, shift = _motion(camera, other, planes.depths)
    x, y, z = ((planes.rays * planes.depths[:, None]) @ turn.T + shift).unbind(1)
    fx, fy, cx, cy = other.intrinsics[0].tolist()
    x, y = x / z.clamp_min(_LEAST_DEPTH), y / z.clamp_min(_LEAST_DEPTH)
    height, width = other_depth.shape
    by_x, by_y = width / other.width, height / other.height
    found, _, _ = sample(other_depth, (fx * x + cx) * by_x, (fy * y + cy) * by_y)
    x, y, back = ((torch.stack([x, y, torch.ones_like(x)], 1) * found[:, None] - shift) @ turn).unbind(1)
    fx, fy, _, _ = camera.intrinsics[0].tolist()
    error = torch.hypot(fx * (x / back - planes.rays[:, 0]), fy * (y / back - planes.rays[:, 1]))
    return torch.where((found > 0) & (z > 0) & (back > 0), error, torch.inf)


def patch_difference(
    planes: Planes, camera: Cameras, here: Tensor, other: Cameras, there: Tensor
) -> tuple[Tensor, Tensor]:
    """1 - NCC of the patches around pixels that can be compared, seen in the neighbour through their planes [Q]; and
    which of the planes these are [Q].

    A ray ``y`` of the patch meets the plane through ``z x`` with the normal ``n`` where it is at ``R y + s t`` from the
    neighbour, up to a factor, with ``s = n . y / (z n . x)`` (the homography of eq. 13). Only ``s`` learns: the
    neighbour's greys are taken as linear in it.

    Args:
        here, there: [H, W] greys of the two photos, NaN where they don't count.
    """
    offsets = torch.cartesian_prod(*[torch.arange(-_RADIUS, _RADIUS + 1)] * 2)
    offsets = sent(torch.cat([offsets, torch.ones_like(offsets[:, :1])], 1).T.contiguous(), here.device)  # [3, K]
    steps = offsets.to(here.dtype)
    focal = sent(camera.intrinsics[0, :2].to(here.dtype), here.device)
    facing = (planes.normals * planes.rays).sum(1)
    is_plane = facing < -_LEAST_FACING
    facing = facing.clamp_max(-_LEAST_FACING)
    slanted = planes.normals[:, :2] / facing[:, None] / focal
    of_s = torch.cat([slanted, torch.ones_like(facing)[:, None]], 1) / planes.depths[:, None]  # [P, 3]
    s = of_s @ steps  # [P, K]
    with torch.no_grad():
        flat = planes.pixels[:, 1] * camera.width + planes.pixels[:, 0]
        seen = here.view(-1)[flat[:, None] + (offsets[1] * camera.width + offsets[0])]
        seen = seen - seen.mean(1, keepdim=True)
        variance = seen.square().mean(1)
        turn, shift = _motion(camera, other, s)
        to_pixels = sent(_matrix(other).to(here.dtype), here.device)
        turn, shift = to_pixels @ turn, to_pixels @ shift
        sideways = (turn[:, :2] / focal).expand(len(s), 3, 2)
        homography = torch.cat([sideways, (planes.rays @ turn.T)[..., None]], 2) + shift[:, None] * of_s[:, None]
        x, y, z = (homography @ steps).unbind(1)
        inverse = z.clamp_min_(_LEAST_DEPTH).reciprocal_()
        u, v = x.mul_(inverse), y.mul_(inverse)
        found, along_x, along_y = sample(there, u, v)
        slope = (along_x * (shift[0] - u * shift[2]) + along_y * (shift[1] - v * shift[2])) * inverse
        spread = (found - found.mean(1, keepdim=True)).square().mean(1)  # NaN where a pixel doesn't count, as variance
        least = torch.minimum(variance, spread)
        rows = (is_plane & (s > 0).all(1) & (least > _LEAST_DEVIATION**2)).nonzero()[:, 0]
        seen, variance, slope = seen[rows], variance[rows], slope[rows]
        rest = found[rows] - slope * s[rows]
    found = rest + slope * s[rows]
    found = found - found.mean(1, keepdim=True)
    return 1 - (seen * found).mean(1) / (variance * found.square().mean(1) + 1e-12).sqrt(), rows


def grey(photo: Photo) -> Tensor:
    """Greys [H, W] in [0, 1] of a photo [H, W, 3], NaN where its mask hides it."""
    colors, mask = photo
    greys = colors.float() @ constant((1 / 765, 1 / 765, 1 / 765), like=torch.empty(0, device=colors.device))
    return greys if mask is None else torch.where(mask < 128, torch.nan, greys)


def sample(image: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values of an image [H, W] between pixels, centres at +0.5, NaN beyond the outermost ones; and their slopes along
    x and y."""
    height, width = image.shape
    x, y = x - 0.5, y - 0.5
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left, top = x.clamp(0, width - 2).floor(), y.clamp(0, height - 2).floor()
    right, down = x - left, y - top
    at, flat = (top.long() * width + left.long()).view(-1), image.view(-1)
    a, b, c, d = (flat.index_select(0, at + step).view_as(x) for step in (0, 1, width, width + 1))
    upper, lower = b - a, d - c
    along_x = upper + (lower - upper) * down
    along_y = c - a + (lower - upper) * right
    return torch.where(inside, a + upper * right + along_y * down, torch.nan), along_x, along_y


def _rays(pixels: Tensor, camera: Cameras) -> Tensor:
    """Directions [..., 3] with z = 1 through the centres of pixels [..., 2], by the camera's axes."""
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    x, y = pixels.unbind(-1)
    x, y = (x + (0.5 - cx)) / fx, (y + (0.5 - cy)) / fy
    return torch.stack([x, y, torch.ones_like(x)], -1)


def _motion(camera: Cameras, other: Cameras, like: Tensor) -> tuple[Tensor, Tensor]:
    """The rotation [3, 3] and the shift [3] that take points from one camera's axes to another's."""
    other_from_cam = other.world_from_cam[0].double().inverse() @ camera.world_from_cam[0].double()
    moved = sent(other_from_cam.to(like.dtype), like.device)
    return moved[:3, :3], moved[:3, 3]


def _matrix(camera: Cameras) -> Tensor:
    """[3, 3] from directions with z = 1 to pixels."""
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
