"""Camera paths around what the photos look at, within what they saw. In the scene frame: +Z is up, the focus at 0."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nerfkit.cameras import look_at, project
from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.views.paths.framing import Size, framed, photo_poses, widened
from nerfkit.views.spline import phases

GAP = math.radians(75)  # between neighbouring photos: beyond, nothing was seen from there
TRIM = 0.05  # share of the photos at either end of an arc that are left behind
STEEPEST = math.radians(80)  # a camera right above the focus has no up

WIDEST = math.radians(50)  # half the width of a figure eight before a scene that was photographed all around
LOWEST_RANGE = math.radians(8)  # a path that rises and falls by less would look flat; photos see as far beside them
HIGHEST_RANGE = math.radians(30)
NEIGHBOURS = math.radians(20)  # photos as far off as this tell how far away a camera should be
TURNS = 2  # of a spiral
NEARER, FARTHER = 0.6, 1.15  # of the photos' distance from the subject: between these goes a dolly zoom
MIDDLE = 0.2  # of a picture's shorter side, to either side of its middle, is where the subject is
CLOSEST = 0.5  # of the way to the nearest thing in the middle is as far as it goes
FEWEST = 10  # points that tell how far away it is


def orbit(scene: Scene, frames: int, size: Size | None = None, ease: bool = False) -> Cameras:
    """A closed, smooth path around the focus, at the photos' median distance, height and field of view.

    Photos all around give a full turn, at a constant speed. Photos from a part of the circle, or from one side,
    give a slow sway within the arc they cover: to one side, back, to the other side and back, higher on the way
    there than on the way back; as far off as the photos there, and looking where they do. The last frame comes just
    before the first.
    """
    photos, phase = Photos.of(scene), _phase(frames, ease)
    if photos.arc is not None:
        middle, half = sum(photos.arc) / 2, (photos.arc[1] - photos.arc[0]) / 2
        low, high = photos.heights.quantile(torch.tensor([0.25, 0.75], dtype=torch.float64)).tolist()
        elevation = (low + high) / 2 + (high - low) / 2 * phase.cos()
        return photos.cameras(middle + half * phase.sin(), elevation, size)
    positions = photo_poses(scene)[:, :3, 3]
    radius, height = positions[:, :2].norm(dim=1).median(), positions[:, 2].median()
    radius = torch.maximum(radius, torch.hypot(radius, height) * math.cos(STEEPEST)).clamp_min(1e-6)
    azimuth = photos.azimuths[0] + phase
    eye = torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), height.expand(frames)], -1)  # [F, 3]
    return widened(framed(scene, _look(eye, torch.zeros(3, dtype=torch.float64)), size), scene)


def spiral(scene: Scene, frames: int, size: Size | None = None, ease: bool = False) -> Cameras:
    """A closed spiral around the focus, between the heights that the photos were taken from.

    Photos all around give two turns, upwards in the first half of each and downwards in the second, from low to high
    and back over the whole. Photos from a part of the circle give circles before it that widen from its middle to
    what the photos cover, and narrow again.
    """
    photos = Photos.of(scene)
    phase = _phase(frames, ease)
    low, high = photos.elevations
    if photos.arc is None:
        azimuth = photos.azimuths[0] + TURNS * phase
        elevation = (low + high) / 2 - (high - low) / 2 * phase.cos()
    else:
        middle, half = sum(photos.arc) / 2, (photos.arc[1] - photos.arc[0]) / 2
        width = (1 - phase.cos()) / 2
        azimuth = middle + half * width * ((TURNS + 1) * phase).cos()
        elevation = (low + high) / 2 + (high - low) / 2 * width * ((TURNS + 1) * phase).sin()
    return photos.cameras(azimuth, elevation, size)


def lemniscate(scene: Scene, frames: int, size: Size | None = None, ease: bool = False) -> Cameras:
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
    steps = (eyes.roll(-1, 0) - eyes).norm(dim=1).clamp_min(1e-12)
    gone = torch.cat([torch.zeros(1, dtype=torch.float64), steps.cumsum(0)]).numpy()
    wanted = phases(frames, True, ease) * gone[-1]
    at = torch.from_numpy(np.interp(wanted, gone, np.arange(len(gone)))) * (2 * torch.pi / len(fine))
    azimuth, elevation = middle + half * at.sin(), (low + high) / 2 + (high - low) / 2 * (2 * at).sin()
    return photos.cameras(azimuth, elevation, size)


def dolly_zoom(scene: Scene, frames: int, size: Size | None = None, ease: bool = False) -> Cameras:
    """Towards the subject and back while the lens zooms out and in, so that the subject keeps its size.

    The focal length follows the distance to the subject (Irmin Roberts' shot in Hitchcock's Vertigo, 1958), and the
    distance changes by equal factors in equal times. The subject is what sparse points show in the middle of the
    picture, or the focus. The way lies in the middle of the arc that the photos cover, from a little beyond their
    distance (:data:`FARTHER`) to :data:`NEARER` of it, and never as near as sparse points are to it.
    """
    photos = Photos.of(scene)
    azimuth = torch.tensor([photos.front()[0]], dtype=torch.float64)
    elevation = torch.tensor([sum(photos.elevations) / 2], dtype=torch.float64)
    base = photos.cameras(azimuth, elevation, size)
    pose = base.world_from_cam[0].double()
    depth, nearest = _subject(scene, base)
    near = min(max(NEARER, 1 - CLOSEST * nearest / depth), 0.95)
    share = (1 - _phase(frames, ease).cos()) / 2
    factor = torch.exp(math.log(FARTHER) * (1 - share) + math.log(near) * share)  # of the distance to the subject
    poses = pose.repeat(frames, 1, 1)
    poses[:, :3, 3] += ((1 - factor) * depth)[:, None] * pose[:3, 2]
    zoomed = base.intrinsics.repeat(frames, 1)
    zoomed[:, :2] *= factor[:, None]
    return replace(base, world_from_cam=poses.float(), intrinsics=zoomed)


def _subject(scene: Scene, camera: Cameras) -> tuple[float, float]:
    """How deep the subject in the middle of a camera's picture is, and how deep the nearest thing there.

    Around a subject its background is seen, so that most of the points there may be behind it.
    """
    pose = camera.world_from_cam[0].double()
    focus = max(float(-pose[:3, 3] @ pose[:3, 2]), 1e-6)
    if not len(scene.points) or scene.points_are_random:
        return focus, focus
    pixels, depth = project(camera, scene.points)
    aside = (pixels[0] - camera.intrinsics[0, 2:]).abs().amax(1) / min(camera.width, camera.height)
    middle = depth[0][(depth[0] > 0) & (aside < MIDDLE)]
    if len(middle) < FEWEST:
        return focus, focus
    subject, nearest = middle.quantile(torch.tensor([0.25, 0.02])).tolist()
    return float(subject), float(nearest)


@dataclass(frozen=True)
class Photos:
    """From where around the focus the photos were taken: angles in radians, distances in scene units, float64."""

    azimuths: Tensor  # [C]
    heights: Tensor  # [C] elevations
    distances: Tensor  # [C]
    targets: Tensor  # [C, 3] where their optical axes pass nearest to the focus
    arc: tuple[float, float] | None  # of azimuths that they cover; None: all around
    scene: Scene

    @classmethod
    def of(cls, scene: Scene) -> Photos:
        poses = photo_poses(scene)
        x, axis = poses[:, :3, 3], poses[:, :3, 2]
        azimuths, distances = torch.atan2(x[:, 1], x[:, 0]), x.norm(dim=1).clamp_min(1e-6)
        heights = torch.asin((x[:, 2] / distances).clamp(-1, 1))
        targets = x - (x * axis).sum(1).clamp_max(0)[:, None] * axis  # not behind a camera
        return cls(azimuths, heights, distances, targets, covered_arc(azimuths), scene)

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
        """Places [F, 3] in directions [F], as far from the focus as the photos around there were."""
        return _direction(azimuth, elevation) * (self._near(azimuth, elevation) @ self.distances)[:, None]

    def cameras(self, azimuth: Tensor, elevation: Tensor, size: Size | None) -> Cameras:
        """Level cameras [F] in directions [F], that look where the photos around there did."""
        elevation = elevation.clamp(-STEEPEST, STEEPEST)
        targets = self._near(azimuth, elevation) @ self.targets
        return widened(framed(self.scene, _look(self.eyes(azimuth, elevation), targets), size), self.scene)

    def _near(self, azimuth: Tensor, elevation: Tensor) -> Tensor:
        """Weights [F, C] of the photos for a mean over those around directions [F]."""
        cosine = _direction(azimuth, elevation) @ _direction(self.azimuths, self.heights).T
        return torch.softmax(-0.5 * (torch.acos(cosine.clamp(-1, 1)) / NEIGHBOURS) ** 2, dim=1)


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


def _look(eye: Tensor, target: Tensor) -> Tensor:  # [F, 4, 4]
    return look_at(eye, target, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))


def _phase(frames: int, ease: bool = False) -> Tensor:
    return torch.from_numpy(phases(frames, True, ease)) * (2 * torch.pi)
