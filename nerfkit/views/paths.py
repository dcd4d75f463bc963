"""Camera paths through a scene, in the scene frame (+Z up, the cameras' focus at the origin)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_FULL_CIRCLE = math.radians(300)  # photos that cover this much are taken to go all the way around
_UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def orbit(scene: Scene, frames: int, size: tuple[int, int] | None = None) -> Cameras:
    """A closed, smooth path around the focus, at the training cameras' median height and distance.

    Where the photos cover only a part of the circle, the path sweeps to and fro within that part, slower towards
    its ends, so that it never shows what no photo saw.

    Args:
        frames: cameras along the path; the one after the last would be the first again.
        size: width and height; by default those of the photos. Made even, as videos need.

    Returns:
        ``frames`` cameras, float32.
    """
    eyes = _training_poses(scene)[:, :3, 3]
    radius, height = eyes[:, :2].norm(dim=1).median(), eyes[:, 2].median()
    start, covered = _covered_arc(torch.atan2(eyes[:, 1], eyes[:, 0]))
    turn = torch.arange(frames, dtype=torch.float64) / max(frames, 1)
    if covered >= _FULL_CIRCLE:
        angle = start + 2 * math.pi * turn
    else:
        angle = start + covered * (0.1 + 0.8 * (0.5 - 0.5 * torch.cos(2 * math.pi * turn)))
    eye = torch.stack([radius * angle.cos(), radius * angle.sin(), height.expand(frames)], -1)
    return _cameras(scene, look_at(eye, torch.zeros(3, dtype=torch.float64), _UP), size)


def interpolate(scene: Scene, frames: int, size: tuple[int, int] | None = None) -> Cameras:
    """A smooth path through the training photos, in the order of their names, at constant speed.

    Positions follow a cubic spline through the photos' positions, rotations a rotation spline; both run over the
    length of the way between photos, where a turn of one radian counts as much as the cameras' median distance
    from the focus times one radian. Arguments and result are as for :func:`orbit`.
    """
    from scipy.interpolate import CubicSpline
    from scipy.spatial.transform import Rotation, RotationSpline

    poses = _training_poses(scene).numpy()
    rotations = Rotation.from_matrix(poses[:, :3, :3])
    turns = torch.from_numpy((rotations[:-1].inv() * rotations[1:]).magnitude())
    steps = torch.from_numpy(poses[1:, :3, 3] - poses[:-1, :3, 3]).norm(dim=1)
    scale = torch.from_numpy(poses[:, :3, 3]).norm(dim=1).median()
    knots = torch.cat([torch.zeros(1), (steps + scale * turns).clamp_min(1e-6).cumsum(0)]).numpy()
    positions, orientation = CubicSpline(knots, poses[:, :3, 3]), RotationSpline(knots, rotations)
    # Equal steps of the spline's parameter are not equal steps of the way: walk it finely and take equal parts.
    fine = torch.linspace(0, float(knots[-1]), 50 * len(poses), dtype=torch.float64)
    way = torch.from_numpy(positions(fine.numpy())).diff(dim=0).norm(dim=1)
    way = torch.cat([torch.zeros(1), way.cumsum(0)])
    wanted = torch.linspace(0, float(way[-1]), frames, dtype=torch.float64)
    right = torch.searchsorted(way, wanted).clamp(1, len(way) - 1)
    share = (wanted - way[right - 1]) / (way[right] - way[right - 1]).clamp_min(1e-12)
    at = (fine[right - 1] + share * (fine[right] - fine[right - 1])).numpy()
    out = torch.eye(4, dtype=torch.float64).repeat(frames, 1, 1)
    out[:, :3, :3] = torch.from_numpy(orientation(at).as_matrix())
    out[:, :3, 3] = torch.from_numpy(positions(at))
    return _cameras(scene, out, size)


def _training_poses(scene: Scene) -> Tensor:  # [C, 4, 4] float64
    return torch.cat([scene.views[index].camera.world_from_cam for index in scene.train]).double()


def _covered_arc(azimuths: Tensor) -> tuple[float, float]:
    """Where the photos' azimuths begin and how far they reach: the circle without its widest gap."""
    ordered = azimuths.sort().values
    gaps = torch.cat([ordered.diff(), ordered[:1] + 2 * math.pi - ordered[-1:]])
    widest = int(gaps.argmax())
    return float(ordered[(widest + 1) % len(ordered)]), 2 * math.pi - float(gaps[widest])


def _cameras(scene: Scene, world_from_cam: Tensor, size: tuple[int, int] | None) -> Cameras:
    """Pinhole cameras with the photos' median field of view over their shorter side."""
    views = [scene.views[index].camera for index in scene.train]
    width, height = size or (views[0].width, views[0].height)
    width, height = max(2, width // 2 * 2), max(2, height // 2 * 2)
    reach = torch.tensor([float(v.intrinsics[0, :2].mean()) / min(v.width, v.height) for v in views]).median()
    focal = float(reach) * min(width, height)
    intrinsics = torch.tensor([[focal, focal, width / 2, height / 2]]).repeat(len(world_from_cam), 1)
    return Cameras(world_from_cam.float(), intrinsics, width, height)
