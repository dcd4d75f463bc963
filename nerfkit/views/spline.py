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
AIMED = 0.5  # cosine of the angle between a camera's axis and the origin: within, it looks at what is there
STEEP = 0.98  # sine of the elevation (of 80 degrees) above which a level horizon would spin
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
        steps = way(keys, radius)
        moves = np.concatenate([[True], steps > STILL * max(1.0, steps.max(initial=0))])
        self.knot_of_key = moves.cumsum() - 1  # [K], and one more of a loop
        self.radius, self.keys = radius, keys[moves]
        self.knots = np.concatenate([[0.0], np.sqrt(way(self.keys, radius)).cumsum()])
        self.of_keys = self.knots[self.knot_of_key]  # the curve's parameter at each key
        if len(self.keys) > 1:
            self._fit(tension, loop)

    def __call__(self, u: Array) -> Array:
        """Packed poses [N, 8] at parameters [N]."""
        if len(self.keys) == 1:
            return np.repeat(self.keys, len(u), 0)
        return self._evaluate(np.clip(u, self.knots[0], self.knots[-1]))

    def _evaluate(self, u: Array) -> Array:
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

    def _fit(self, tension: float, loop: bool) -> None:
        from scipy.interpolate import CubicHermiteSpline, CubicSpline, PchipInterpolator
        from scipy.spatial.transform import Rotation, RotationSpline

        keys, knots, own = self._around(loop)
        slopes = CubicSpline(knots, keys[:, :3], bc_type="natural")(knots, 1) * (1 - tension)
        slopes[_beside_still(np.linalg.norm(np.diff(keys[:, :3], axis=0), axis=1))] = 0
        rotations = Rotation.from_quat(keys[:, 3:7])
        spins = np.asarray(RotationSpline(knots, rotations)(knots, 1)) * (1 - tension)
        spins[_beside_still((rotations[:-1].inv() * rotations[1:]).magnitude())] = 0
        self._position: Any = CubicHermiteSpline(self.knots, self.keys[:, :3], slopes[own])
        self._focal: Any = PchipInterpolator(knots, keys[:, 7])
        self._spins = spins[own]  # angular velocities at the keys, in the camera's frame

    def _around(self, loop: bool) -> tuple[Array, Array, slice]:
        """Keys and knots, those of a loop repeated before and behind it; and where its own are."""
        count = len(self.keys)
        if not loop:
            return self.keys, self.knots, slice(0, count)
        spans, turn = count - 1, self.knots[-1]
        indices = np.arange(-WRAP, count + WRAP)
        knots = self.knots[indices % spans] + turn * (indices // spans)
        return self.keys[indices % spans], knots, slice(WRAP, WRAP + count)

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


def _beside_still(steps: Array) -> NDArray[np.bool_]:
    """Which keys have no step to a neighbour: what stands still there must not drift."""
    still = np.concatenate([[False], steps <= STILL, [False]])
    return np.asarray(still[1:] | still[:-1])


class AimedCurve(Curve):
    """A curve through cameras that look at the same thing, around the origin: it goes around that, and looks at it.

    What natural cubic splines interpolate over the knots of :class:`Curve` are the cameras' azimuths, elevations,
    logarithms of distances from the origin, the points on their optical axes that are nearest to the origin, and their
    rolls. Between photos from far apart, a spline of places would cut through what they show, and one of rotations
    would look past it and tilt the horizon. Near the zenith, where azimuth and roll spin, directions and up vectors
    stand for them.
    """

    @staticmethod
    def fits(keys: Array) -> bool:
        """Whether all cameras [K, 8] look at what is around the origin, from outside, and none only turns or zooms.

        Nor may any turn about its axis by a right angle near the zenith, where an up vector would flip at once.
        """
        place, axes = keys[:, :3], _axes(keys)
        axis, head = axes[:, :, 2], axes[:, :, 1]
        if not _below_the_zenith(place, axis) and (head[1:] * head[:-1]).sum(1).min(initial=1) <= 0:
            return False
        distance, ahead = np.linalg.norm(place, axis=1), -(place * axis).sum(1)
        moved, changed = np.linalg.norm(np.diff(place, axis=0), axis=1), np.abs(np.diff(keys, axis=0)).max(1)
        stays = (moved <= STILL) & (changed > STILL)  # the same camera again is none of its own: Curve leaves it out
        return bool((distance > STILL).all() and (ahead > AIMED * distance).all() and not stays.any())

    def _fit(self, tension: float, loop: bool) -> None:
        from scipy.interpolate import CubicSpline, PchipInterpolator

        keys, knots, _ = self._around(loop)
        place, axes = keys[:, :3], _axes(keys)
        x, y, z = axes.transpose(2, 0, 1)  # [K, 3] each
        distance = np.linalg.norm(place, axis=1, keepdims=True)
        target = place - (place * z).sum(1, keepdims=True) * z
        direction, up = place / distance, -y
        self._level = _below_the_zenith(place, z)
        if self._level:
            elevation = np.arcsin(direction[:, 2])
            direction = np.stack([np.unwrap(np.arctan2(direction[:, 1], direction[:, 0])), elevation], 1)
            up = np.unwrap(np.arctan2(x[:, 2], up[:, 2]))[:, None]  # the roll
        self._parts = np.cumsum([direction.shape[1], 1, 3])
        self._state: Any = CubicSpline(
            knots, np.concatenate([direction, np.log(distance), target, up], 1), bc_type="natural"
        )
        self._focal = PchipInterpolator(knots, keys[:, 7])

    def _evaluate(self, u: Array) -> Array:
        from nerfkit.cameras import look_at

        parts = [torch.from_numpy(part) for part in np.split(self._state(u), self._parts, axis=1)]
        direction, distance, target, up = parts
        if self._level:
            azimuth, elevation = direction.unbind(1)
            flat = elevation.cos()
            direction = torch.stack([flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin()], 1)
            level = look_at(direction * distance.exp(), target, torch.tensor([0, 0, 1.0]).double())
            up = level[:, :3, 0] * up.sin() - level[:, :3, 1] * up.cos()
        direction = torch.nn.functional.normalize(direction, dim=1)
        poses = look_at(direction * distance.exp(), target, up)
        return np.concatenate([pack(poses), self._focal(u)[:, None]], 1)


def _below_the_zenith(place: Array, axis: Array) -> bool:
    """Whether none of the places [K, 3] is so steeply above or below the origin that azimuth and roll spin there."""
    steepest = np.abs(place[:, 2] / np.linalg.norm(place, axis=1).clip(STILL)).max()
    return bool(max(steepest, np.abs(axis[:, 2]).max()) < STEEP)


def curve_through(keys: Array, radius: float, tension: float = 0.0, loop: bool = False) -> Curve:
    """The curve through packed cameras [K, 8] that keeps in the picture what they look at, if it is one thing.

    Without a tension, which says how a camera moves where it isn't that which counts.
    """
    around = np.concatenate([keys, keys[:1]]) if loop else keys
    return (AimedCurve if tension == 0 and AimedCurve.fits(around) else Curve)(keys, radius, tension, loop)


def _axes(keys: Array) -> Array:  # [K, 3, 3], the camera's axes in its columns
    return unpack(keys)[:, :3, :3].numpy()


def constant_speed(
    world_from_cam: Tensor, frames: int, radius: float, loop: bool = False, ease: bool = False
) -> Tensor:
    """``frames`` rigid poses [frames, 4, 4] along a curve through poses [K, 4, 4].

    From the first to the last, or in a loop; an :class:`AimedCurve` where it fits. Speed is what :func:`way` measures;
    ``ease``: but at the path's ends.
    """
    poses = pack(world_from_cam)
    keys = np.concatenate([poses, np.zeros((len(poses), 1))], 1)
    curve = curve_through(keys, radius, loop=loop)
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
