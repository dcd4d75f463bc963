"""Camera paths around what the photos look at, within what they saw. In the scene frame: +Z is up, the focus at 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.views.paths.framing import Size, framed, photo_poses

GAP = math.radians(75)  # between neighbouring photos: beyond, nothing was seen from there
TRIM = 0.05  # share of the photos at either end of an arc that are left behind
STEEPEST = math.radians(80)  # a camera right above the focus has no up

WIDEST = math.radians(50)  # half the width of a figure eight before a scene that was photographed all around
LOWEST_RANGE = math.radians(8)  # a path that rises and falls by less would look flat; photos see as far beside them
HIGHEST_RANGE = math.radians(30)
NEIGHBOURS = math.radians(20)  # photos as far off as this tell how far away a camera should be
TURNS = 2  # of a spiral
NEARER, FARTHER = 0.6, 1.15  # of the photos' distance: where a dolly zoom begins and ends


def orbit(scene: Scene, frames: int, size: Size | None = None) -> Cameras:
    """A closed, smooth path around the focus, at the photos' median distance, height and field of view.

    Photos all around give a full turn, at a constant speed. Photos from a part of the circle, or from one side,
    give a slow sway within the arc they cover: to one side, back, to the other side and back, higher on the way
    there than on the way back. The last frame comes just before the first.
    """
    positions = photo_poses(scene)[:, :3, 3]
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
    return framed(scene, _towards_focus(eye), size)


def spiral(scene: Scene, frames: int, size: Size | None = None) -> Cameras:
    """A closed spiral around the focus, between the heights that the photos were taken from.

    Photos all around give two turns, upwards in the first half of each and downwards in the second, from low to high
    and back over the whole. Photos from a part of the circle give circles before it that widen from its middle to
    what the photos cover, and narrow again.
    """
    photos = Photos.of(scene)
    phase = _phase(frames)
    low, high = photos.elevations
    if photos.arc is None:
        azimuth = photos.azimuths[0] + TURNS * phase
        elevation = (low + high) / 2 - (high - low) / 2 * phase.cos()
    else:
        middle, half = sum(photos.arc) / 2, (photos.arc[1] - photos.arc[0]) / 2
        width = (1 - phase.cos()) / 2
        azimuth = middle + half * width * ((TURNS + 1) * phase).cos()
        elevation = (low + high) / 2 + (high - low) / 2 * width * ((TURNS + 1) * phase).sin()
    return framed(scene, _towards_focus(photos.eyes(azimuth, elevation)), size)


def lemniscate(scene: Scene, frames: int, size: Size | None = None) -> Cameras:
    """A closed figure eight (Gerono's) before the side of the focus that most photos show, at a constant speed.

    As wide as the photos' arc, and at most 100 degrees; as high as the photos reach.
    """
    photos = Photos.of(scene)
    fine = _phase(max(64, 8 * frames))
    middle, half = photos.front()
    low, high = photos.elevations
    azimuth = middle + half * fine.sin()
    elevation = (low + high) / 2 + (high - low) / 2 * (2 * fine).sin()
    eyes = photos.eyes(azimuth, elevation)
    gone = torch.cat([torch.zeros(1, dtype=torch.float64), (eyes.roll(-1, 0) - eyes).norm(dim=1).cumsum(0)])
    wanted = torch.arange(frames, dtype=torch.float64) * (gone[-1] / frames)
    index = (torch.searchsorted(gone, wanted, right=True) - 1).clamp(0, len(eyes) - 1)
    share = ((wanted - gone[index]) / (gone[index + 1] - gone[index]).clamp_min(1e-12))[:, None]
    eye = eyes[index] * (1 - share) + eyes[(index + 1) % len(eyes)] * share
    return framed(scene, _towards_focus(eye), size)


def dolly_zoom(scene: Scene, frames: int, size: Size | None = None) -> Cameras:
    """Towards the focus and back while the lens zooms out and in, so that what is there keeps its size.

    The focal length follows the distance to the focus (Irmin Roberts' shot in Hitchcock's Vertigo, 1958), and the
    distance grows by equal factors in equal times. It goes from beyond the photos' distance to :data:`NEARER` of it,
    along the middle of the arc that they cover, and never as near as sparse points are to the way.
    """
    photos = Photos.of(scene)
    azimuth = torch.tensor([photos.front()[0]], dtype=torch.float64)
    elevation = torch.tensor([sum(photos.elevations) / 2], dtype=torch.float64)
    eye = photos.eyes(azimuth, elevation)[0]
    distance = float(eye.norm())
    direction = eye / max(distance, 1e-12)
    near = max(NEARER, _clear(scene, direction, distance))
    far = min(FARTHER, max(1.0, float(photos.distances.quantile(0.9)) / max(distance, 1e-12)))
    share = (1 - _phase(frames).cos()) / 2
    factor = torch.exp(math.log(far) * (1 - share) + math.log(min(near, 0.95)) * share)
    return framed(scene, _towards_focus(eye * factor[:, None]), size, factor)


def _clear(scene: Scene, direction: Tensor, distance: float) -> float:
    """The share of the way from the focus to a photo's distance up to which points stand near the way."""
    points = scene.points.double()
    if not len(points) or scene.points_are_random:
        return 0.0
    along = points @ direction / distance
    aside = (points - (points @ direction)[:, None] * direction).norm(dim=1) / distance
    beside = along[(along < 1) & (aside < 0.15)]  # a path of a photographer's shoulders' width
    return float(beside.quantile(0.99)) + 0.15 if len(beside) >= 10 else 0.0


@dataclass(frozen=True)
class Photos:
    """From where around the focus the photos were taken: angles in radians, distances in scene units, float64."""

    azimuths: Tensor  # [C]
    heights: Tensor  # [C] elevations
    distances: Tensor  # [C]
    arc: tuple[float, float] | None  # of azimuths that they cover; None: all around

    @classmethod
    def of(cls, scene: Scene) -> Photos:
        x = photo_poses(scene)[:, :3, 3]
        azimuths, distances = torch.atan2(x[:, 1], x[:, 0]), x.norm(dim=1).clamp_min(1e-6)
        return cls(azimuths, torch.asin((x[:, 2] / distances).clamp(-1, 1)), distances, covered_arc(azimuths))

    @property
    def elevations(self) -> tuple[float, float]:
        """The lowest and the highest elevation for a path: the photos', but for a tenth of them at either end.

        A range too small to be noticed is widened upwards, since below may be the ground.
        """
        low, high = self.heights.quantile(torch.tensor([0.1, 0.9], dtype=torch.float64)).tolist()
        high = min(max(high, low + LOWEST_RANGE), STEEPEST)
        low = min(low, high - LOWEST_RANGE)
        spare = max(0.0, high - low - HIGHEST_RANGE) / 2
        return low + spare, high - spare

    def front(self) -> tuple[float, float]:
        """The middle of the side that most photos show, and how far to either side of it they go (azimuths)."""
        if self.arc is not None:
            return (self.arc[0] + self.arc[1]) / 2, min(WIDEST, (self.arc[1] - self.arc[0]) / 2)
        near = torch.cos(self.azimuths[:, None] - self.azimuths[None]) > math.cos(WIDEST)
        return float(self.azimuths[int(near.sum(1).argmax())]), WIDEST

    def eyes(self, azimuth: Tensor, elevation: Tensor) -> Tensor:
        """Places [F, 3] in directions [F], as far from the focus as the photos around there were (a kernel mean)."""
        here, photos = _direction(azimuth, elevation), _direction(self.azimuths, self.heights)
        angle = torch.acos((here @ photos.T).clamp(-1, 1))  # [F, C]
        weight = torch.softmax(-0.5 * (angle / NEIGHBOURS) ** 2, dim=1)
        return here * (weight @ self.distances)[:, None]


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


def _direction(azimuth: Tensor, elevation: Tensor) -> Tensor:  # [..., 3]
    flat = elevation.cos()
    return torch.stack([flat * azimuth.cos(), flat * azimuth.sin(), elevation.sin()], -1)


def _towards_focus(eye: Tensor) -> Tensor:  # [F, 4, 4]
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    return look_at(eye, torch.zeros(3, dtype=torch.float64), up)


def _phase(frames: int) -> Tensor:
    return torch.arange(frames, dtype=torch.float64) * (2 * torch.pi / frames)
