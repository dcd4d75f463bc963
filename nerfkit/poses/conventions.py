"""Whether cameras see the points of their scene, and if not, which convention their file was probably written in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.cameras import project
from nerfkit.contracts import Cameras
from nerfkit.data.raw import RawScene, RawView

SAMPLE = 5000  # points or observations of a view that are looked at
FAR_OFF = 0.02  # of the longer side: a median error that no adjustment leaves
FEW = 0.05  # share of the points that an average photo shows, below which other conventions are tried
_FLIP = torch.diag(torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64))

_AXES = (
    "camera axes of the other kind (OpenCV's, y down and z forward, in place of OpenGL's, y up and z backwards, "
    "or the reverse)"
)
_INVERSE = "inverted matrices (world-to-camera in place of camera-to-world, or the reverse)"
# What ``world_from_cam`` would have been, had the file been written so; readers flip axes after or before they invert.
POSES: dict[str, Callable[[Tensor], Tensor]] = {
    _AXES: lambda pose: pose @ _FLIP,
    _INVERSE: lambda pose: torch.linalg.inv(pose),
    f"{_INVERSE} and {_AXES}": lambda pose: _FLIP @ torch.linalg.inv(pose),
    f"{_INVERSE}, with {_AXES}": lambda pose: torch.linalg.inv(pose) @ _FLIP,
    f"{_INVERSE} of {_AXES}": lambda pose: _FLIP @ torch.linalg.inv(pose) @ _FLIP,
}
POINTS: dict[str, NDArray[np.float64]] = {
    "points turned about x (y up beside cameras with z up)": np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    "points turned about x (z up beside cameras with y up)": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "points with x and y swapped and z turned over, as nerfstudio's applied_transform does": np.array(
        [[0.0, 1, 0], [1, 0, 0], [0, 0, -1]]
    ),
    "points mirrored in x (a left-handed frame)": np.diag([-1.0, 1, 1]),
    "points mirrored in y (a left-handed frame)": np.diag([1.0, -1, 1]),
    "points mirrored in z (a left-handed frame)": np.diag([1.0, 1, -1]),
}


@dataclass(frozen=True)
class Sight:
    """How a view sees the points that it should see (by its observations), or all of them where there are none."""

    name: str
    count: int  # points looked at
    in_front: float  # share
    visible: float  # share that lies in front and within the photo
    error: float | None  # median distance between projections and observations, pixels; None without observations
    side: int  # of the photo, pixels


def sights(views: Sequence[RawView], points: NDArray[np.float64]) -> list[Sight]:
    """One for each view; none where the scene has no points."""
    return [_sight(view, points) for view in views] if len(points) else []


def _sight(view: RawView, points: NDArray[np.float64]) -> Sight:
    seen = view.seen if view.seen is not None and len(view.seen.points) else None
    index = np.arange(len(points)) if seen is None else seen.points
    picked = np.unique(np.linspace(0, len(index) - 1, min(SAMPLE, len(index))).round().astype(np.int64))
    pixels, depth = project(view.camera, torch.from_numpy(points[index[picked]]))
    front = depth[0] > 0
    size = torch.tensor([view.camera.width, view.camera.height], dtype=torch.float64)
    inside = front & (pixels[0] >= 0).all(-1) & (pixels[0] <= size).all(-1)
    error = None
    if seen is not None:
        distance = torch.linalg.norm(pixels[0] - torch.from_numpy(seen.pixels[picked]), dim=-1)
        error = float(torch.where(front & distance.isfinite(), distance, torch.inf).median())
    side = max(view.camera.width, view.camera.height)
    return Sight(view.path.name, len(picked), float(front.double().mean()), float(inside.double().mean()), error, side)


@dataclass(frozen=True)
class Verdict:
    """``wrong``: the cameras don't see what they should; ``meant`` is a convention under which they would, if any."""

    wrong: bool
    words: str  # what is seen
    meant: str | None = None


def judge(scene: RawScene) -> Verdict:
    """Looks at all views, and tries other conventions where most of them don't see their points."""
    now = sights(scene.views, scene.points)
    if not now or not _bad(now):
        return Verdict(False, _words(now))
    for words in (*POSES, *POINTS):
        other = reread(scene, words)
        if _good(sights(other.views, other.points), now):
            return Verdict(True, _words(now), words)
    # Without observations it may as well be a large scene, of which every photo shows a small part.
    return Verdict(_error(now) is not None, _words(now))


def reread(scene: RawScene, convention: str) -> RawScene:
    """The scene as it would be, had its file been written by ``convention``, one of :data:`POSES` or :data:`POINTS`."""
    if convention in POINTS:
        return RawScene(
            scene.source, scene.views, scene.points @ POINTS[convention].T, scene.point_colors, scene.held_out
        )
    change = POSES[convention]
    views = []
    for view in scene.views:
        old = view.camera
        camera = Cameras(change(old.world_from_cam), old.intrinsics, old.width, old.height, old.model, old.distortion)
        views.append(RawView(view.path, camera, view.mask_path, view.has_alpha, view.name, view.bounds, view.seen))
    return RawScene(scene.source, views, scene.points, scene.point_colors, scene.held_out)


def _error(found: Sequence[Sight]) -> float | None:
    """The median over the views of the error over the photo's longer side."""
    errors = [sight.error / sight.side for sight in found if sight.error is not None]
    return float(np.median(errors)) if errors else None


def _bad(found: Sequence[Sight]) -> bool:
    error = _error(found)
    if error is not None:
        return error > FAR_OFF
    return float(np.median([sight.visible for sight in found])) < FEW


def _good(found: Sequence[Sight], before: Sequence[Sight]) -> bool:
    error, old = _error(found), _error(before)
    if error is not None and old is not None:
        return error < FAR_OFF and error < old / 4
    visible = float(np.median([sight.visible for sight in found]))
    return visible > 3 * FEW and visible > 3 * float(np.median([sight.visible for sight in before]))


def _words(found: Sequence[Sight]) -> str:
    if not found:
        return "there are no points"
    behind = 100 * (1 - float(np.mean([sight.in_front for sight in found])))
    errors = [sight.error for sight in found if sight.error is not None]
    if errors:
        middle = float(np.median(errors))
        shown = f"{middle:.2f} px" if np.isfinite(middle) else "not finite"
        return f"the median reprojection error is {shown}, {behind:.0f} % of the points lie behind their cameras"
    visible = 100 * float(np.median([sight.visible for sight in found]))
    return f"an average photo shows {visible:.0f} % of the points, {behind:.0f} % lie behind"
