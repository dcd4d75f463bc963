"""Smooth camera motion through given poses: the curve, its length, and a constant speed along it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]
PER_SPAN = 64  # samples between two poses, to measure the way
STILL = 1e-9  # a way as short as this is none
EASE = 0.25  # of an eased path's time, at either end, is taken to gain its speed and to lose it
WRAP = 8  # keys repeated beyond a loop's ends: what lies farther off moves a cubic spline's slope by 0.27^8


class Curve:
    """A smooth curve through packed poses [K, 7] and, behind them, logarithms of focal lengths: [K, 8].

    Its knots are centripetal (Yuksel et al., Parameterization and applications of Catmull-Rom curves, 2011),
    which keeps uneven steps from making loops. Positions are a natural cubic spline: C2. Rotations are cubic Bézier
    curves on the sphere of quaternions (Shoemake, Animating rotation with quaternion curves, 1985, section 4) whose
    velocities at the keys are those of the C2 spline in the tangent space (``scipy.spatial.transform.RotationSpline``).
    Focal lengths are interpolated monotonically (Fritsch and Butland, 1984), so that a zoom never overshoots.

    Args:
        keys: [K, 8]; of equal neighbours one is kept.
        radius: how much turning counts beside moving: :func:`way`.
        tension: 0 to 1, by how much the velocities at the keys are lowered: at 1 the camera goes straight from key to
            key and stops at each.
        loop: the curve goes on from the last key to the first.
    """

    def __init__(self, keys: Array, radius: float, tension: float = 0.0, loop: bool = False) -> None:
        if loop:
            keys = np.concatenate([keys, keys[:1]])
        moves = np.concatenate([[True], way(keys, radius) > STILL])
        self.knot_of_key = moves.cumsum() - 1  # [K], and one more of a loop
        self.radius, self.keys = radius, keys[moves]
        self.knots = np.concatenate([[0.0], np.sqrt(way(self.keys, radius)).cumsum()])
        self.of_keys = self.knots[self.knot_of_key]  # the curve's parameter at each key
        if len(self.keys) > 1:
            self._position, self._focal, self._spins = _fit(self.keys, self.knots, tension, loop)

    def __call__(self, u: Array) -> Array:
        """Packed poses [N, 8] at parameters [N]."""
        if len(self.keys) == 1:
            return np.repeat(self.keys, len(u), 0)
        u = np.clip(u, self.knots[0], self.knots[-1])
        return np.concatenate([self._position(u), self._rotation(u), self._focal(u)[:, None]], 1)

    def at_way(self, shares: Array) -> Array:
        """The parameters at which ``shares`` [N], 0 to 1, of the curve's length have been gone."""
        from scipy.interpolate import PchipInterpolator

        if len(self.keys) == 1:
            return np.zeros(len(shares))
        steps = np.arange((len(self.knots) - 1) * PER_SPAN + 1) / PER_SPAN
        parameters = np.interp(steps, np.arange(len(self.knots)), self.knots)
        ways = way(self(parameters), self.radius)
        gone = np.concatenate([[0.0], np.maximum(ways, 1e-12).cumsum()])
        return np.asarray(PchipInterpolator(gone, parameters)(shares * gone[-1]))

    def _rotation(self, u: Array) -> Array:  # [N, 4] x y z w
        from scipy.spatial.transform import Rotation

        span = np.clip(np.searchsorted(self.knots, u, side="right") - 1, 0, len(self.knots) - 2)
        length = self.knots[span + 1] - self.knots[span]
        share = (u - self.knots[span]) / length
        first, last = Rotation.from_quat(self.keys[span, 3:7]), Rotation.from_quat(self.keys[span + 1, 3:7])
        third = (length / 3)[:, None]
        points = [
            first,
            first * Rotation.from_rotvec(self._spins[span] * third),
            last * Rotation.from_rotvec(-self._spins[span + 1] * third),
            last,
        ]
        while len(points) > 1:  # de Casteljau's algorithm, with arcs for lines
            points = [
                a * Rotation.from_rotvec((a.inv() * b).as_rotvec() * share[:, None])
                for a, b in itertools.pairwise(points)
            ]
        return np.asarray(points[0].as_quat(), np.float64)


def _fit(keys: Array, knots: Array, tension: float, loop: bool) -> tuple[Any, Any, Array]:
    """The functions of position and focal length, and angular velocities [K, 3] (camera's frame) at the keys."""
    from scipy.interpolate import CubicHermiteSpline, CubicSpline, PchipInterpolator
    from scipy.spatial.transform import Rotation, RotationSpline

    count, begin = len(keys), 0
    around_keys, around_knots = keys, knots
    if loop and count > 1:
        turn, spans = knots[-1], count - 1
        indices = np.arange(-WRAP, count + WRAP)
        around_keys = keys[indices % spans]
        around_knots = knots[indices % spans] + turn * (indices // spans)
        begin = WRAP
    own = slice(begin, begin + count)
    slopes = CubicSpline(around_knots, around_keys[:, :3], bc_type="natural")(around_knots, 1)
    slopes *= 1 - tension
    slopes[_beside_still(np.linalg.norm(np.diff(around_keys[:, :3], axis=0), axis=1))] = 0
    rotations = Rotation.from_quat(around_keys[:, 3:7])
    spins = np.asarray(RotationSpline(around_knots, rotations)(around_knots, 1)) * (1 - tension)
    spins[_beside_still((rotations[:-1].inv() * rotations[1:]).magnitude())] = 0
    position = CubicHermiteSpline(knots, keys[:, :3], slopes[own])
    return position, PchipInterpolator(around_knots, around_keys[:, 7]), spins[own]


def _beside_still(steps: Array) -> NDArray[np.bool_]:
    """Which keys have no step to a neighbour: what stands still there must not drift."""
    still = np.concatenate([[False], steps <= STILL, [False]])
    return np.asarray(still[1:] | still[:-1])


def constant_speed(
    world_from_cam: Tensor, frames: int, radius: float, loop: bool = False, ease: bool = False
) -> Tensor:
    """``frames`` rigid poses [frames, 4, 4] along a :class:`Curve` through poses [K, 4, 4].

    From the first to the last, or in a loop; speed is what :func:`way` measures. ``ease``: but at the path's ends.
    """
    poses = pack(world_from_cam)
    curve = Curve(np.concatenate([poses, np.zeros((len(poses), 1))], 1), radius, loop=loop)
    return unpack(curve(curve.at_way(phases(frames, loop, ease))))


def phases(frames: int, loop: bool, ease: bool = False) -> Array:
    """The share of the way that is gone at each of the frames [F], from 0 to 1, or to just before it in a loop."""
    phase = np.arange(frames) / (frames if loop else max(1, frames - 1))
    return eased(phase) if ease else phase


def eased(phase: Array) -> Array:
    """Time as a share of the whole, [F], turned into the share of the way that is gone then.

    The speed rises by a smoothstep over the first :data:`EASE` of the time, and falls so over the last.
    """

    def gone(x: Array) -> Array:  # the integral of the rising speed, from 0 to EASE
        s = np.clip(x / EASE, 0, 1)
        return np.asarray(EASE * (s**3 - s**4 / 2))

    middle = np.clip(phase, EASE, 1 - EASE) - EASE
    falling = gone(np.full_like(phase, EASE)) - gone(np.minimum(EASE, 1 - phase))
    return np.asarray((gone(np.minimum(phase, EASE)) + middle + falling) / (1 - EASE))


def way(poses: Array, radius: float) -> Array:
    """How far the camera goes from each of the packed poses [K, 7 or 8] to the next: [K - 1].

    Turning by an angle counts like moving by ``angle * radius``, and zooming like coming nearer to something
    ``radius`` away by as much: about what all of them do to its picture. A camera that only turns has a speed, too.
    """
    quats = poses[:, 3:7] / np.linalg.norm(poses[:, 3:7], axis=1, keepdims=True)
    chord = np.minimum(np.linalg.norm(np.diff(quats, axis=0), axis=1), np.linalg.norm(quats[1:] + quats[:-1], axis=1))
    angle = 4 * np.arcsin(np.clip(chord / 2, 0, 1))
    zoom = np.diff(poses[:, 7:], axis=0).sum(1)
    moved = np.linalg.norm(np.diff(poses[:, :3], axis=0), axis=1)
    return np.asarray(np.sqrt(moved**2 + (radius * angle) ** 2 + (radius * zoom) ** 2))


def pack(world_from_cam: Tensor) -> Array:
    """Poses [K, 4, 4] as position and quaternion x y z w [K, 7], each in the hemisphere of the one before."""
    from scipy.spatial.transform import Rotation

    poses = world_from_cam.double().cpu().numpy()
    quats = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
    for i in range(1, len(quats)):
        quats[i] *= 1 if quats[i] @ quats[i - 1] >= 0 else -1
    return np.concatenate([poses[:, :3, 3], quats], 1)


def unpack(poses: Array) -> Tensor:
    """The inverse of :func:`pack`, of [K, 7 or 8]; quaternions need not be unit. float64."""
    from scipy.spatial.transform import Rotation

    out = torch.eye(4, dtype=torch.float64).repeat(len(poses), 1, 1)
    out[:, :3, :3] = torch.from_numpy(Rotation.from_quat(poses[:, 3:7]).as_matrix())
    out[:, :3, 3] = torch.from_numpy(poses[:, :3])
    return out
