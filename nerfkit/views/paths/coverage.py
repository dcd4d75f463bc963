"""Where a camera path leaves what the photos saw, and how it is brought back.

What a frame sees is judged at points of the scene. A photo supports a point of a frame where it has the point in its
picture, saw it from about the same side (:data:`SIDE`), and not much more coarsely (:data:`COARSER`): from other sides
a reconstruction was never compared with anything, and what hides the point from a photo nearly always comes with
another side. A frame's score is the share of its parts (a grid of cells) whose points :data:`PHOTOS` photos support,
lowered where it shows few points, or where the camera is among them, nearer than photos are. It is measured against the
scores of the photos themselves, each by the others, so that sparse and dense sets both have a well-seen region.

A panorama always shows much that no photo saw. It has left where it doesn't show well what the photos near it did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nerfkit.cameras import project
from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.views.lenses import SPANS
from nerfkit.views.paths.camera_path import PROJECTIONS, CameraType
from nerfkit.views.paths.framing import photo_focal, photo_poses, photo_size
from nerfkit.views.spline import Array, pack, unpack

PHOTOS = 2  # that must have seen a point
SIDE = math.radians(35)  # between a photo's and a frame's line of sight to a point
COARSER = 4.0  # times as large may a photo's pixel be on a point as a frame's
CELLS = 12, 9  # parts of a frame
MOST_POINTS, MOST_PHOTOS, MOST_FRAMES = 2000, 300, 600  # evenly chosen ones are enough
CLEAR = 0.5  # of the photos' distance to the nearest points: nearer ones lower a frame's score
CLOSEST = 10  # the nearest of points may be stray ones: this many are left aside
LOWEST = 0.75  # of the score that 9 of 10 photos reach: below, a frame has left the well-seen region
SHORTEST = 3  # frames: a shorter leave is not worth a warning, and a shorter return is none
NEAREST = 3  # photos around a panorama
STEPS = 8  # in which a frame is pulled back
SOFT = 0.08  # of the frames, over which a pull begins and ends


@dataclass(frozen=True)
class Seen:
    """What a scene's photos saw of its points."""

    points: Tensor  # [P, 3]
    poses: Tensor  # [C, 4, 4] of the photos
    inside: Tensor  # [P, C] bool: the photo has the point in its picture
    sight: Tensor  # [P, C, 3] unit, from the photo to the point
    grain: Tensor  # [P, C] the size of a pixel there, as a share of the picture's height and in scene units
    fov: float  # vertical, of the photos
    lowest: float  # score of a frame within the well-seen region
    filled: float  # share of cells with points in an ordinary photo
    clear: float  # distance to the nearest points, of photos that are near ones
    span: int | None = None  # degrees, of frames that are panoramas

    @classmethod
    def of(cls, scene: Scene, camera_type: CameraType = "perspective") -> Seen:
        poses = photo_poses(scene)
        chosen = _evenly(len(poses), MOST_PHOTOS)
        width, height = photo_size(scene)
        focal = photo_focal(scene, (width, height))
        points = scene.points.double()[_evenly(len(scene.points), MOST_POINTS)]
        center = torch.tensor([width / 2, height / 2], dtype=torch.float64)
        cameras = Cameras(poses[chosen], torch.cat([focal, center]).expand(len(chosen), 4), width, height)
        inside = _inside(cameras, points).T
        offset = points[:, None] - cameras.world_from_cam[None, :, :3, 3]
        distance = offset.norm(dim=-1).clamp_min(1e-9)
        tan = height / 2 / float(focal[1])
        raw = cls(
            points, cameras.world_from_cam, inside, offset / distance[..., None], distance * tan,
            2 * math.atan(tan), 0.0, 1.0, 0.0,
        )  # fmt: skip
        filled, own = raw._scores(cameras, own=True)
        typical = float(filled.median())
        usual = own * (filled / max(typical / 2, 1e-9)).clamp_max(1)
        lowest = LOWEST * float(usual.quantile(0.1)) if len(points) else 0.0
        clear = float(raw._clearance(cameras).quantile(0.05))
        return replace(raw, lowest=lowest, filled=typical, clear=clear, span=SPANS.get(PROJECTIONS[camera_type]))

    def scores(self, cameras: Cameras) -> Tensor:
        """How well the photos saw what each of the cameras [F] sees, 0 to 1."""
        if self.span is None:
            return self._flat(cameras)
        return torch.stack([self._flat(shown) * there for shown, there in self._within(cameras)]).amax(0)

    def _within(self, panoramas: Cameras) -> Iterator[tuple[Cameras, Tensor]]:
        """Flat pictures [F] within panoramas, as the photos nearest to each are; and whether [F] it shows them."""
        poses = panoramas.world_from_cam.double()
        away = torch.cdist(poses[:, :3, 3], self.poses[:, :3, 3])
        (columns, rows), count = CELLS, len(poses)
        focal = rows / 2 / math.tan(self.fov / 2)
        intrinsics = torch.tensor([[focal, focal, columns / 2, rows / 2]], dtype=torch.float64).expand(count, 4)
        for nearest in away.topk(min(NEAREST, len(self.poses)), dim=1, largest=False).indices.unbind(1):
            turned = poses.clone()
            turned[:, :3, :3] = self.poses[nearest, :3, :3]
            ahead = (turned[:, :3, 2] * poses[:, :3, 2]).sum(1) > 0
            yield Cameras(turned, intrinsics, columns, rows), ahead | (self.span == 360)

    def _flat(self, cameras: Cameras) -> Tensor:
        filled, good = self._scores(cameras)
        clear = self._clearance(cameras) / max(CLEAR * self.clear, 1e-9)
        return good * (filled / max(self.filled / 2, 1e-9)).clamp_max(1) * clear.clamp_max(1)

    def leaves(self, cameras: Cameras) -> list[tuple[int, int]]:
        """The ranges of frames (first, last) that leave the well-seen region."""
        at = self._judged(cameras)
        stride = int(at[1] - at[0]) if len(at) > 1 else 1
        left = (self.scores(cameras[at.tolist()]) < self.lowest).repeat_interleave(stride)
        return _ranges(left[: len(cameras)].tolist())

    def _judged(self, cameras: Cameras) -> Tensor:
        """The indices of frames that are enough to judge a path by."""
        return _evenly(len(cameras), MOST_FRAMES if self.span is None else MOST_FRAMES // NEAREST)

    def _clearance(self, cameras: Cameras) -> Tensor:
        """The distance [F] of the cameras to the nearest points."""
        if len(self.points) <= CLOSEST:
            return torch.full((len(cameras),), torch.inf, dtype=torch.float64)
        away = torch.cdist(cameras.world_from_cam[:, :3, 3].double(), self.points)
        return away.topk(CLOSEST + 1, dim=1, largest=False).values[:, -1]

    def _scores(self, cameras: Cameras, own: bool = False) -> tuple[Tensor, Tensor]:
        """The share of cells with points [F], and of those the share that is well seen [F]; ``own``: by others."""
        columns, rows = CELLS
        filled, good = torch.zeros(len(cameras)).double(), torch.zeros(len(cameras)).double()
        if not len(self.points):
            return filled, torch.ones_like(filled)
        pixels, _ = project(_double(cameras), self.points)
        visible = _inside(_double(cameras), self.points)
        tans = cameras.height / 2 / cameras.intrinsics[:, 1].double()
        for frame in range(len(cameras)):
            at = visible[frame].nonzero()[:, 0]
            if not len(at):
                continue
            x = (pixels[frame, at, 0] * columns / cameras.width).long().clamp(0, columns - 1)
            y = (pixels[frame, at, 1] * rows / cameras.height).long().clamp(0, rows - 1)
            offset = self.points[at] - cameras.world_from_cam[frame, :3, 3].double()
            distance = offset.norm(dim=1).clamp_min(1e-9)
            same_side = (self.sight[at] @ (offset / distance[:, None])[..., None])[..., 0] > math.cos(SIDE)
            fine = self.grain[at] < COARSER * (distance * tans[frame])[:, None]
            supports = (self.inside[at] & same_side & fine).sum(1)
            supported = (supports >= PHOTOS + (1 if own else 0)).double()
            cells = torch.zeros(2, columns * rows, dtype=torch.float64)
            cells.index_add_(1, y * columns + x, torch.stack([supported, torch.ones_like(supported)]))
            full = cells[1] > 0
            filled[frame] = full.double().mean()
            good[frame] = (cells[0][full] / cells[1][full]).mean()
        return filled, good

    def anchors(self, packed: Array) -> Array:
        """For packed cameras [F, 7 or 8] the mean of the photos' poses near each: [F, 7]."""
        poses = pack(self.poses)
        away = np.linalg.norm(packed[:, None, :3] - poses[None, :, :3], axis=-1)  # [F, C]
        reach = float(np.median(np.linalg.norm(poses[:, :3], axis=1))) or 1.0
        turned = 2 * np.arccos(np.clip(np.abs(packed[:, 3:7] @ poses[:, 3:7].T), 0, 1))
        far = np.hypot(away, reach * turned)
        scale = np.maximum(np.sort(far, axis=1)[:, : min(3, far.shape[1])].mean(1, keepdims=True) / 2, 1e-6)
        weight = np.exp(-0.5 * ((far - far.min(1, keepdims=True)) / scale) ** 2)  # [F, C]
        weight /= weight.sum(1, keepdims=True)
        sign = np.where(packed[:, 3:7] @ poses[:, 3:7].T < 0, -1.0, 1.0)
        quats = np.einsum("fc,fc,cq->fq", weight, sign, poses[:, 3:7])
        quats /= np.linalg.norm(quats, axis=1, keepdims=True)  # on the side of the camera's own quaternion
        return np.concatenate([weight @ poses[:, :3], quats], 1)

    def pull_in(self, cameras: Cameras, loop: bool = False) -> Cameras:
        """The path [F], brought back smoothly to the photos where it leaves the well-seen region.

        Each frame that leaves goes as far towards the mean pose (and field of view) of the photos near it as it needs
        to be well seen; the frames before and behind it come along. Frames far from a leave stay as they are. Where a
        path crosses a wide gap between photos, it may still leave in the middle of it.
        """
        from scipy.interpolate import CubicSpline, PchipInterpolator

        at = self._judged(cameras).numpy()
        judged = _packed(cameras)[at]
        anchor = np.concatenate([self.anchors(judged), np.full((len(at), 1), -math.log(math.tan(self.fov / 2)))], 1)
        anchor = _smoothed(anchor, loop)
        needed = np.zeros(len(at))
        left = (self.scores(cameras[at.tolist()]) < self.lowest).numpy()
        for step in range(1, STEPS + 1):
            bad = left.nonzero()[0]
            if not len(bad):
                break
            needed[bad] = step / STEPS
            tried = _unpacked(_blend(judged[bad], anchor[bad], needed[bad]), cameras)
            left[bad] = (self.scores(tried) < self.lowest).numpy()
        if not needed.any():
            return cameras
        share = _softened(needed, loop)
        if len(at) < len(cameras):
            frames = np.minimum(np.arange(len(cameras)), at[-1])
            anchor, share = CubicSpline(at, anchor)(frames), PchipInterpolator(at, share)(frames)
        return _unpacked(_blend(_packed(cameras), anchor, share), cameras)


def leaves(cameras: Cameras, scene: Scene) -> list[tuple[int, int]]:
    """The ranges of frames (first, last) in which a path [F] leaves the well-seen region."""
    return Seen.of(scene).leaves(cameras)


def warning(ranges: list[tuple[int, int]], pulled_in: bool = False) -> str:
    """One line about what :func:`leaves` found, or found still."""
    words = [f"{first}-{last}" if last > first else f"{first}" for first, last in ranges]
    listed = ", ".join(words[:4]) + (f" and {len(words) - 4} more ranges" if len(words) > 4 else "")
    remedy = "no photos are near enough to pull them in to" if pulled_in else "--pull-in brings the path back"
    return f"frames {listed} see much that fewer than {PHOTOS} photos saw; {remedy}"


def pull_in(cameras: Cameras, scene: Scene, loop: bool = False) -> Cameras:
    """The path [F] brought back, see :meth:`Seen.pull_in`."""
    return Seen.of(scene).pull_in(cameras, loop)


def _softened(needed: Array, loop: bool) -> Array:
    """A smooth curve [F] nowhere below ``needed`` [F]: the largest value around each frame, then the mean of those."""
    from scipy.ndimage import maximum_filter1d

    reach = 2 * math.ceil(3 * _sigma(needed)) + 1  # as far as the mean goes
    return _smoothed(maximum_filter1d(needed, reach, mode="wrap" if loop else "nearest"), loop)


def _smoothed(values: Array, loop: bool) -> Array:
    """A mean over the frames around each, of [F] or [F, N]."""
    from scipy.ndimage import gaussian_filter1d

    mode = "wrap" if loop else "nearest"
    return np.asarray(gaussian_filter1d(values, _sigma(values), axis=0, mode=mode, truncate=3.0))


def _sigma(values: Array) -> float:
    return max(1.0, SOFT * len(values) / 2)


def _blend(packed: Array, anchor: Array, share: Array) -> Array:
    """Between packed cameras [F, 8]: lines, arcs, and equal factors of the focal length."""
    from scipy.spatial.transform import Rotation

    a, b = Rotation.from_quat(packed[:, 3:7]), Rotation.from_quat(anchor[:, 3:7])
    turned = a * Rotation.from_rotvec((a.inv() * b).as_rotvec() * share[:, None])
    out = packed + (anchor - packed) * share[:, None]
    out[:, 3:7] = turned.as_quat()
    return out


def _packed(cameras: Cameras) -> Array:  # [F, 8]
    focal = np.log(2 * cameras.intrinsics[:, 1:2].double().numpy() / cameras.height)
    return np.concatenate([pack(cameras.world_from_cam), focal], 1)


def _unpacked(packed: Array, like: Cameras) -> Cameras:
    """Cameras [F] of packed ones, with the size, the pixels' shape and the centre of others."""
    fy = torch.from_numpy(np.exp(packed[:, 7])) * like.height / 2
    first = like.intrinsics[0].double()
    center = first[2:].expand(len(fy), 2)
    intrinsics = torch.cat([(fy * first[0] / first[1])[:, None], fy[:, None], center], 1)
    return Cameras(unpack(packed).float(), intrinsics.float(), like.width, like.height)


def _inside(cameras: Cameras, points: Tensor) -> Tensor:  # [C, P] bool
    pixels, depth = project(cameras, points)
    limit = torch.tensor([cameras.width, cameras.height], dtype=torch.float64)
    return (depth > 1e-6) & ((pixels >= 0) & (pixels < limit)).all(-1)


def _double(cameras: Cameras) -> Cameras:
    return Cameras(cameras.world_from_cam.double(), cameras.intrinsics.double(), cameras.width, cameras.height)


def _ranges(left: list[bool]) -> list[tuple[int, int]]:
    """Runs of True (first, last), those that hardly part joined and hardly visible ones dropped."""
    runs: list[tuple[int, int]] = []
    for index, outside in enumerate(left):
        if outside and runs and index - runs[-1][1] <= SHORTEST:
            runs[-1] = (runs[-1][0], index)
        elif outside:
            runs.append((index, index))
    return [run for run in runs if run[1] - run[0] + 1 >= min(SHORTEST, len(left))]


def _evenly(count: int, most: int) -> Tensor:
    """Indices of at most ``most`` of ``count``, evenly spaced."""
    return torch.arange(count)[:: max(1, math.ceil(count / most))]
