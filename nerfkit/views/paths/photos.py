"""Camera paths through the photos' own places."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.views.paths.framing import Size, framed, photo_poses, photo_size, widened, zoom
from nerfkit.views.spline import constant_speed

FRAMES_PER_PHOTO = 12  # at least: a faster path through every photo would be a shaky one


def interpolate(scene: Scene, frames: int, size: Size | None = None, loop: bool = False, ease: bool = False) -> Cameras:
    """A smooth path at constant speed through the photos' places, from the first to the last, or in a loop.

    In the order of their names, as photographers walk; where that jumps about, along a short tour of them. A
    short video passes only some of the photos: evenly spaced ones.
    """
    poses = photo_poses(scene)
    poses = poses[tour(poses[:, :3, 3], names=[view.name for view in scene.views])]
    keys = poses[_evenly(poses[:, :3, 3], max(2, frames // FRAMES_PER_PHOTO))]
    distance = float(poses[:, :3, 3].norm(dim=1).median()) or 1.0  # a camera that only turns, at the origin
    return widened(framed(scene, constant_speed(keys, frames, distance, loop, ease), size), scene)


def held_out(scene: Scene, size: Size | None = None) -> Cameras:
    """The cameras of the held-out photos, in the order of ``scene.held_out``; of all photos where none is.

    Without ``size`` they have the photos' own (the commonest one) and the photos' principal points.
    """
    views = [scene.views[index] for index in held_out_indices(scene)]
    width, height = size or photo_size(scene)
    rows = []
    for view in views:
        scale = zoom(view.camera, width, height)
        fx, fy, cx, cy = (float(value) for value in view.camera.intrinsics[0])
        x, y = (cx - view.camera.width / 2) * scale, (cy - view.camera.height / 2) * scale
        rows.append([fx * scale, fy * scale, width / 2 + x, height / 2 + y])
    world_from_cam = torch.cat([view.camera.world_from_cam for view in views])
    return Cameras(world_from_cam.float(), torch.tensor(rows, dtype=torch.float32), width, height)


def held_out_indices(scene: Scene) -> list[int]:
    return scene.held_out or list(range(len(scene.views)))


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
