"""Smooth camera motion through given poses, at a constant speed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
PER_SPAN = 64  # samples between two poses, to measure the way


def constant_speed(world_from_cam: Tensor, frames: int, radius: float) -> Tensor:
    """``frames`` rigid poses [frames, 4, 4] along a smooth curve through poses [K, 4, 4], from the first to the last.

    Position and quaternion are natural cubic splines over centripetal knots (Yuksel et al., Parameterization and
    applications of Catmull-Rom curves, 2011), whose knots keep uneven steps from making loops. Speed is what
    :func:`way` measures.
    """
    from scipy.interpolate import CubicSpline

    keys = pack(world_from_cam)  # [K, 7]
    steps = way(keys, radius)
    keys, steps = keys[np.concatenate([[True], steps > 1e-9])], steps[steps > 1e-9]
    if len(keys) == 1:
        return unpack(np.repeat(keys, frames, 0))
    knots = np.concatenate([[0.0], np.sqrt(steps).cumsum()])
    curve: Any = CubicSpline(knots, keys, bc_type="natural")
    times = np.interp(np.arange((len(keys) - 1) * PER_SPAN + 1) / PER_SPAN, np.arange(len(keys)), knots)
    travelled = np.concatenate([[0.0], way(curve(times), radius).cumsum()])
    return unpack(curve(np.interp(np.linspace(0, travelled[-1], frames), travelled, times)))


def way(poses: Array, radius: float) -> Array:
    """How far the camera goes from each of the packed poses [K, 7] to the next: [K - 1].

    Turning by an angle counts like moving by ``angle * radius``: about what both do to the picture of something
    ``radius`` away. A camera that only turns has a speed, too.
    """
    quats = poses[:, 3:] / np.linalg.norm(poses[:, 3:], axis=1, keepdims=True)
    chord = np.minimum(np.linalg.norm(np.diff(quats, axis=0), axis=1), np.linalg.norm(quats[1:] + quats[:-1], axis=1))
    angle = 4 * np.arcsin(np.clip(chord / 2, 0, 1))
    return np.asarray(np.hypot(np.linalg.norm(np.diff(poses[:, :3], axis=0), axis=1), radius * angle))


def pack(world_from_cam: Tensor) -> Array:
    """Poses [K, 4, 4] as position and quaternion [K, 7], each quaternion in the hemisphere of the one before."""
    from scipy.spatial.transform import Rotation

    poses = world_from_cam.double().cpu().numpy()
    quats = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
    for i in range(1, len(quats)):
        quats[i] *= 1 if quats[i] @ quats[i - 1] >= 0 else -1
    return np.concatenate([poses[:, :3, 3], quats], 1)


def unpack(poses: Array) -> Tensor:
    """The inverse of :func:`pack`; quaternions need not be unit. float64."""
    from scipy.spatial.transform import Rotation

    out = torch.eye(4, dtype=torch.float64).repeat(len(poses), 1, 1)
    out[:, :3, :3] = torch.from_numpy(Rotation.from_quat(poses[:, 3:]).as_matrix())
    out[:, :3, 3] = torch.from_numpy(poses[:, :3])
    return out
