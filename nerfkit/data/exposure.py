"""How much brighter or darker, and how tinted, each photo of a scene is than the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.threads import threads

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene
    from nerfkit.data.view import PhotoView

TOE = 0.055  # an exposure changes an sRGB value s so that s + TOE is multiplied: IEC 61966-2-1, above its linear part
_GAMMA = 2.4
_MOST_POINTS = 20_000
_FEWEST = 50  # points in a photo that tell its exposure
_RANGE = (0.03, 0.97)  # of a photo's values that can be compared: neither black nor clipped
_NEAR = 1e-3  # scene units


def gains(scene: Scene) -> Tensor | None:
    """Of each training photo the factors [T, 3] of ``s + TOE``, against the mean of all; None where nothing tells.

    By the scene's sparse points, whose colours are those of all photos that show them: the median over the points
    that project into a photo. Some of these are hidden there, which a median bears. A photo with too few has 1.
    It looks into every photo: ``Scene.photo_gains`` has it for whoever asks again.
    """
    if scene.points_are_random or len(scene.points) < _FEWEST or not scene.train:
        return None
    if bool((scene.point_colors == scene.point_colors[0]).all()):  # a format without colours
        return None
    step = math.ceil(len(scene.points) / _MOST_POINTS)
    points, colors = scene.points[::step], scene.point_colors[::step].float() / 255
    with threads() as pool:  # photos that don't fit the cache are decoded anew
        found = list(pool.map(lambda index: _log_gain(scene.views[index], points, colors), scene.train))
    known = torch.stack([one for one in found if one is not None]) if any(one is not None for one in found) else None
    if known is None:
        return None
    mean = known.mean(0)
    return torch.stack([torch.zeros(3) if one is None else one - mean for one in found]).exp()


def stops(gains: Tensor) -> float:
    """How far photos differ in exposure, in stops: the standard deviation over the photos of their brightness."""
    return float(_GAMMA * gains.log2().mean(1).std(correction=0))


def pixels_of(points: Tensor, camera: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Where a pinhole camera (C = 1) would see points [P, 3]: columns and rows [P] int64, and whether within its
    picture [P]; hidden ones too."""
    local = points @ camera.cam_from_world[0, :3, :3].T + camera.cam_from_world[0, :3, 3]
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    depth = local[:, 2].clamp_min(_NEAR)
    x, y = (fx * local[:, 0] / depth + cx).floor().long(), (fy * local[:, 1] / depth + cy).floor().long()
    return x, y, (local[:, 2] > _NEAR) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height)


def _log_gain(view: PhotoView, points: Tensor, colors: Tensor) -> Tensor | None:
    """The median of the logarithm of photo over point [3]; None where too few points are in the photo."""
    x, y, inside = pixels_of(points, view.camera)
    x, y, colors = x[inside], y[inside], colors[inside]
    seen = view.image()[y, x].float() / 255
    comparable = ((seen > _RANGE[0]) & (seen < _RANGE[1])).all(1)
    mask = view.mask()
    if mask is not None:
        comparable &= mask[y, x] > 127
    if int(comparable.sum()) < _FEWEST:
        return None
    return ((seen[comparable] + TOE) / (colors[comparable] + TOE)).log().median(0).values
