"""Camera paths through a scene, made from its photos' cameras. All in the scene frame: up +Z, focus at the origin."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise

import torch
from torch import Tensor

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.views.spline import constant_speed

Size = tuple[int, int]  # width, height

GAP = math.radians(75)  # between neighbouring photos: beyond, nothing was seen from there
TRIM = 0.05  # share of the photos at either end of an arc that are left behind
STEEPEST = math.radians(80)  # a camera right above the focus has no up
FRAMES_PER_PHOTO = 12  # at least: a faster path through every photo would be a shaky one


def orbit(scene: Scene, frames: int, size: Size | None = None) -> Cameras:
    """A closed, smooth path around the focus, at the photos' median distance, height and field of view.

    Photos all around give a full turn, at a constant speed. Photos from a part of the circle, or from one side,
    give a slow sway within the arc they cover: to one side, back, to the other side and back, higher on the way
    there than on the way back. The last frame comes just before the first.
    """
    positions = _poses(scene)[:, :3, 3]
    azimuths, phase = torch.atan2(positions[:, 1], positions[:, 0]), _phase(frames)
    radius = positions[:, :2].norm(dim=1).median()
    low, height, high = positions[:, 2].quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))
    arc = covered_arc(azimuths)
    if arc is None:
        azimuth, z = azimuths[0] + phase, height.expand(frames)
    else:
        azimuth = (arc[0] + arc[1]) / 2 + (arc[1] - arc[0]) / 2 * phase.sin()
        z = height + (high - low) / 2 * phase.cos()
    distance = torch.hypot(radius, height)
    radius = torch.maximum(radius, distance * math.cos(STEEPEST)).clamp_min(1e-6)
    eye = torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), z], -1)  # [F, 3]
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    return _cameras(scene, look_at(eye, torch.zeros(3, dtype=torch.float64), up), size)


def interpolate(scene: Scene, frames: int, size: Size | None = None) -> Cameras:
    """A smooth path at constant speed through the photos' places, from the first to the last.

    In the order of their names, as photographers walk; where that jumps about, along a short tour of them. A
    short video passes only some of the photos: evenly spaced ones.
    """
    poses = _poses(scene)
    poses = poses[tour(poses[:, :3, 3], names=[view.name for view in scene.views])]
    keys = poses[_evenly(poses[:, :3, 3], max(2, frames // FRAMES_PER_PHOTO))]
    distance = float(poses[:, :3, 3].norm(dim=1).median()) or 1.0  # a camera that only turns, at the origin
    return _cameras(scene, constant_speed(keys, frames, distance), size)


def held_out(scene: Scene, size: Size | None = None) -> Cameras:
    """The cameras of the held-out photos, in the order of ``scene.held_out``; of all photos where none is.

    Without ``size`` they have the photos' own (the commonest one) and the photos' principal points.
    """
    views = [scene.views[index] for index in held_out_indices(scene)]
    width, height = size or photo_size(scene)
    rows = []
    for view in views:
        scale = _zoom(view.camera, width, height)
        fx, fy, cx, cy = (float(value) for value in view.camera.intrinsics[0])
        x, y = (cx - view.camera.width / 2) * scale, (cy - view.camera.height / 2) * scale
        rows.append([fx * scale, fy * scale, width / 2 + x, height / 2 + y])
    world_from_cam = torch.cat([view.camera.world_from_cam for view in views])
    return Cameras(world_from_cam.float(), torch.tensor(rows, dtype=torch.float32), width, height)


def held_out_indices(scene: Scene) -> list[int]:
    return scene.held_out or list(range(len(scene.views)))


def photo_size(scene: Scene) -> Size:
    """The commonest size of the scene's photos."""
    return Counter((view.camera.width, view.camera.height) for view in scene.views).most_common(1)[0][0]


def covered_arc(azimuths: Tensor) -> tuple[float, float] | None:
    """The arc (from, to), radians, that azimuths [C] cover; None where they go all around.

    Where gaps wider than GAP part the photos, the part with the most of them, less TRIM of them at either end.
    """
    ordered = azimuths.double().sort().values
    gaps = torch.diff(ordered, append=ordered[:1] + 2 * torch.pi)
    wide = (gaps > GAP).nonzero()[:, 0].tolist()
    if not wide:
        return None
    parts = []  # between one wide gap and the next, the last one across the turn
    for this, following in zip(wide, [*wide[1:], wide[0] + len(ordered)]):
        indices = torch.arange(this + 1, following + 1)
        parts.append(ordered[indices % len(ordered)] + 2 * torch.pi * (indices >= len(ordered)))
    most = max(parts, key=len)
    low, high = most.quantile(torch.tensor([TRIM, 1 - TRIM], dtype=torch.float64)).tolist()
    return low, high


def tour(positions: Tensor, names: list[str]) -> list[int]:
    """An order to visit positions [C, 3] in: by name (2 before 10), or a greedy tour where that is much shorter."""
    by_name = sorted(range(len(names)), key=lambda i: [int(t) if t.isdecimal() else t for t in _words(names[i])])
    distance = torch.cdist(positions.double(), positions.double()).tolist()
    greedy, left = [by_name[0]], set(by_name[1:])
    while left:
        nearest = min(left, key=lambda i: (distance[greedy[-1]][i], i))
        greedy.append(nearest)
        left.remove(nearest)

    def length(order: list[int]) -> float:
        return math.fsum(distance[a][b] for a, b in pairwise(order))

    return greedy if length(greedy) < 0.6 * length(by_name) else by_name


def _words(name: str) -> list[str]:
    return re.split(r"(\d+)", name)  # text, digits, text…: like is compared with like


def _evenly(positions: Tensor, count: int) -> list[int]:
    """At most ``count`` of the positions [C, 3], evenly spaced along the way, with the first and the last."""
    travelled = torch.cat([torch.zeros(1, dtype=torch.float64), positions.diff(dim=0).norm(dim=1).cumsum(0)])
    if len(positions) <= count or float(travelled[-1]) == 0:
        return list(range(len(positions)))
    wanted = torch.linspace(0, float(travelled[-1]), count, dtype=torch.float64)
    nearest = (travelled[None] - wanted[:, None]).abs().argmin(1).tolist()
    return sorted({0, *nearest, len(positions) - 1})


def _poses(scene: Scene) -> Tensor:  # [C, 4, 4] float64
    if not scene.views:
        raise NerfkitError(f"{scene.name}: the scene has no views, so there is no path through them")
    return torch.cat([view.camera.world_from_cam for view in scene.views]).double()


def _phase(frames: int) -> Tensor:
    return torch.arange(frames, dtype=torch.float64) * (2 * torch.pi / frames)


def _zoom(camera: Cameras, width: int, height: int) -> float:
    """The factor of the focal length that keeps the photo's field of view, by area where the shape changes."""
    return math.sqrt(width / camera.width * height / camera.height)


def _cameras(scene: Scene, world_from_cam: Tensor, size: Size | None) -> Cameras:
    """Cameras of one size with the median of the photos' focal lengths; sizes of their own choice are even."""
    photo = photo_size(scene)
    width, height = size or (max(2, photo[0] // 2 * 2), max(2, photo[1] // 2 * 2))
    focal = (
        torch.stack(
            [view.camera.intrinsics[0, :2].double() * _zoom(view.camera, width, height) for view in scene.views]
        )
        .median(0)
        .values
    )  # [2]
    center = torch.tensor([width / 2, height / 2], dtype=torch.float64)
    intrinsics = torch.cat([focal, center]).float().expand(len(world_from_cam), 4).contiguous()
    return Cameras(world_from_cam.float(), intrinsics, width, height)
