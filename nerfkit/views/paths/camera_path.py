"""A camera path: keyframes, and the frames between them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.views.lenses import Projection
from nerfkit.views.paths.framing import Size
from nerfkit.views.spline import Array, curve_through, pack, phases, unpack, way

Easing = Literal["linear", "ease", "ease-in", "ease-out", "hold"]
CameraType = Literal["perspective", "fisheye", "equirectangular", "omnidirectional", "vr180"]  # nerfstudio's words
PROJECTIONS: Mapping[CameraType, Projection] = {
    "perspective": "pinhole",
    "fisheye": "fisheye",
    "equirectangular": "equirect",
    "omnidirectional": "equirect",
    "vr180": "vr180",
}
EASINGS: tuple[str, ...] = get_args(Easing)
CAMERA_TYPES: tuple[str, ...] = get_args(CameraType)


@dataclass(frozen=True, eq=False)
class Keyframe:
    """One camera of a path.

    ``easing`` is of the way to the next keyframe. linear: at the speed of the ways before and after. ease-in: sets off
    slowly. ease-out: arrives slowly. ease: both. hold: stays here until the next keyframe's time, and cuts to it.
    """

    world_from_cam: Tensor  # [4, 4] rigid, float64, scene frame, OpenCV axes
    fov: float  # vertical field of view, radians
    time: float  # seconds from the path's beginning
    easing: Easing = "linear"


@dataclass(frozen=True)
class CameraPath:
    """Keyframes, in the order of their times, the first at 0.

    ``after`` is the time behind the last keyframe, in seconds: in a loop the way back to the first one, else how long
    the last frame is shown.
    """

    keyframes: tuple[Keyframe, ...]
    loop: bool = False
    after: float = 0.0
    fps: float = 30.0
    tension: float = 0.0  # 0: flowing; 1: straight from keyframe to keyframe, with a stop at each
    constant_speed: bool = False  # along the whole way: times and easings are left aside
    ease: bool = False  # the path as a whole sets off slowly and arrives slowly
    size: Size | None = None  # of its frames, pixels; None: left to whoever renders it
    camera_type: CameraType = "perspective"

    def __post_init__(self) -> None:
        if not self.keyframes:
            raise ValueError("a camera path needs a keyframe")
        times = [key.time for key in self.keyframes]
        if times[0] != 0 or any(not b > a for a, b in itertools.pairwise(times)) or not self.after >= 0:
            raise ValueError(f"the times of keyframes begin at 0 and rise, got {times}")

    @classmethod
    def through(
        cls, poses: Tensor, fovs: Sequence[float], seconds: float = 6.0, loop: bool = False, fps: float = 30.0
    ) -> CameraPath:
        """A path through poses [K, 4, 4] with vertical fields of view [K], radians, evenly in time."""
        spans = max(1, len(poses) if loop else len(poses) - 1)
        keys = [
            Keyframe(pose.double(), float(fov), index * seconds / spans)
            for index, (pose, fov) in enumerate(zip(poses, fovs, strict=True))
        ]
        return cls(tuple(keys), loop, seconds - keys[-1].time, fps)

    @classmethod
    def of_frames(cls, cameras: Cameras, loop: bool = False, fps: float = 30.0) -> CameraPath:
        """A path whose every frame is a keyframe."""
        fovs = (2 * torch.atan(cameras.height / 2 / cameras.intrinsics[:, 1].double())).tolist()
        keys = [
            Keyframe(pose.double(), fov, index / fps)
            for index, (pose, fov) in enumerate(zip(cameras.world_from_cam, fovs, strict=True))
        ]
        return cls(tuple(keys), loop, 1 / fps, fps, size=(cameras.width, cameras.height))

    @property
    def seconds(self) -> float:
        return self.keyframes[-1].time + self.after

    @property
    def frames(self) -> int:
        """How many frames its own length and frame rate make."""
        return max(1, round(self.seconds * self.fps))

    def lasting(self, seconds: float) -> CameraPath:
        """The same path, faster or slower."""
        if not self.seconds > 0:
            return replace(self, after=seconds)
        scale = seconds / self.seconds
        keys = tuple(replace(key, time=key.time * scale) for key in self.keyframes)
        return replace(self, keyframes=keys, after=self.after * scale)

    def looped(self, loop: bool) -> CameraPath:
        """The same path as a loop, with as much time for the way back as its length takes; or as none."""
        if loop == self.loop:
            return self
        keys = _pack(self.keyframes)
        gone = way(np.concatenate([keys, keys[:1]]), way_radius(keys))
        share = gone[-1] / gone[:-1].sum() if gone[:-1].sum() > 0 else 0.0
        return replace(self, loop=loop, after=self.keyframes[-1].time * float(share) if loop else 0.0)

    def sample(self, frames: int, size: Size) -> Cameras:
        """The cameras of ``frames`` frames [F], evenly in time; pixels are square.

        From the first keyframe to the last one; in a loop, the first comes just after the last frame. Positions,
        rotations and fields of view go along a :func:`nerfkit.views.spline.curve_through`. Where it is at a time is
        interpolated monotonically between the keyframes' times, with a continuous speed. A cut (``hold``) parts a path
        into several curves.
        """
        return _cameras(self._packed(frames), size)

    def _packed(self, frames: int) -> Array:
        phase = phases(frames, self.loop, self.ease)
        keys = _pack(self.keyframes)
        radius = way_radius(keys)
        if self.constant_speed:
            curve = curve_through(keys, radius, self.tension, self.loop)
            return curve(curve.at_way(phase))
        times = phase * (self.seconds if self.loop else self.keyframes[-1].time)
        takes, loop = self._takes()
        out = np.empty((frames, 8))
        for index, take in enumerate(takes):
            begin = take[0].time if index else -math.inf
            end = takes[index + 1][0].time if index + 1 < len(takes) else math.inf
            of_take = (times >= begin - 1e-9) & (times < end - 1e-9)
            after = self.after if loop else None
            out[of_take] = _along(take, times[of_take], radius, self.tension, after)
        return out

    def _takes(self) -> tuple[list[list[Keyframe]], bool]:
        """The keyframes, parted by cuts, and whether they are one loop. A loop with cuts returns to its first one."""
        keys = list(self.keyframes)
        cuts = [index + 1 for index, key in enumerate(keys) if key.easing == "hold"]
        if self.loop and cuts and keys[-1].easing != "hold" and self.after > 0:
            keys.append(replace(keys[0], time=self.seconds, easing="linear"))
        bounds = [0, *[cut for cut in cuts if cut < len(keys)], len(keys)]
        return [keys[a:b] for a, b in itertools.pairwise(bounds)], self.loop and not cuts


def way_radius(keys: Array) -> float:
    """How far what packed cameras [K, 8] show is taken to be: the focus is the origin."""
    return float(np.median(np.linalg.norm(keys[:, :3], axis=1))) or 1.0  # a camera that only turns, at the origin


def _along(keys: list[Keyframe], times: Array, radius: float, tension: float, after: float | None) -> Array:
    """Packed cameras at times, along one curve; ``after`` None: not a loop."""
    curve = curve_through(_pack(keys), radius, tension, after is not None)
    at = np.array([key.time for key in keys])
    easings = [key.easing for key in keys]
    if after:
        at, easings = np.append(at, at[-1] + after), [*easings, easings[0]]
    u = curve.of_keys[: len(at)]
    if len(at) == 1 or u[-1] == 0:
        return curve(np.zeros(len(times)))
    return curve(_progress(at, u, easings, after is not None)(np.clip(times, at[0], at[-1])))


def _progress(at: Array, u: Array, easings: Sequence[Easing], loop: bool) -> Any:
    """The curve's parameter over time: monotone and C1, flat where an easing wants it."""
    from scipy.interpolate import CubicHermiteSpline, PchipInterpolator

    if loop:  # the spans before the beginning and behind the end are the loop's last and first
        span, rise = at[-1] - at[-2], u[-1] - u[-2]
        around = np.concatenate([[at[0] - span], at, at[-1:] + at[1] - at[0]])
        over = np.concatenate([[u[0] - rise], u, u[-1:] + u[1] - u[0]])
        slopes = PchipInterpolator(around, over)(at, 1)
    else:
        slopes = PchipInterpolator(at, u)(at, 1)
    for index, easing in enumerate(easings):
        if easing in ("ease", "ease-in"):
            slopes[index] = 0
        if easing in ("ease", "ease-out") and index + 1 < len(slopes):
            slopes[index + 1] = 0
    if loop:
        slopes[0] = slopes[-1] = min(slopes[0], slopes[-1])
    return CubicHermiteSpline(at, u, slopes)


def _pack(keys: Sequence[Keyframe]) -> Array:  # [K, 8]
    poses = pack(torch.stack([key.world_from_cam for key in keys]))
    focal = [-math.log(math.tan(key.fov / 2)) for key in keys]  # of half the picture's height
    return np.concatenate([poses, np.array(focal)[:, None]], 1)


def _cameras(packed: Array, size: Size) -> Cameras:
    width, height = size
    focal = torch.from_numpy(np.exp(packed[:, 7])) * height / 2
    center = torch.tensor([width / 2, height / 2], dtype=torch.float64).expand(len(focal), 2)
    intrinsics = torch.cat([focal[:, None], focal[:, None], center], 1)
    return Cameras(unpack(packed).float(), intrinsics.float(), width, height)
