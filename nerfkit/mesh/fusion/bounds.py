"""The box of the scene that is worth meshing."""

from __future__ import annotations

import statistics
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from nerfkit.errors import NerfkitError
from nerfkit.mesh.options import FEWEST_VOXELS, Bounds, MeshOptions
from nerfkit.mesh.shape.subject import subject_box

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_MIN_POINTS = 100
_TRIM = 0.005  # fraction of the points that may lie outside, on each side of each axis
_PADDING = 0.05  # of the longest side
_COARSEST, _FINEST = 128, 512  # voxels along the longest side, where the photos decide


class Grid(NamedTuple):
    """Voxels over a box of the scene frame; the centre of voxel (i, j, k) is ``origin + voxel_size * (i, j, k)``."""

    origin: Tensor  # [3] float32
    shape: tuple[int, int, int]
    voxel_size: float  # scene units


def scene_grid(scene: Scene, options: MeshOptions, finest: int = _FINEST) -> Grid:
    """The voxels that the options ask for; without a resolution or a voxel size as large as a photo's pixel at the
    focus, but no more than ``finest`` along the longest side.

    Raises:
        NerfkitError: the bounds are empty, or hold too few voxels of that size.
    """
    box = scene_box(scene, options.bounds, options.mode)
    extent = box[1] - box[0]
    longest = float(extent.max())
    if options.voxel_size is not None:
        voxel_size = options.voxel_size * scene.scene_from_world.scale
        if longest < FEWEST_VOXELS * voxel_size:
            most = longest / FEWEST_VOXELS / scene.scene_from_world.scale
            raise NerfkitError(
                f"--voxel-size {options.voxel_size:g}: leaves fewer than {FEWEST_VOXELS} voxels along the bounds; give "
                f"{most:.3g} or less"
            )
    elif options.resolution is not None:
        voxel_size = longest / (options.resolution - 1)
    else:
        pixels = longest / pixel_size(scene, box.mean(0)) * options.image_scale
        voxel_size = longest / (min(max(round(pixels), _COARSEST), finest) - 1)
    x, y, z = ((extent / voxel_size).ceil().long() + 1).tolist()
    return Grid(box[0], (x, y, z), voxel_size)


def pixel_size(scene: Scene, place: Tensor) -> float:
    """Width of a photo's pixel at a place [3], scene units: the median over the views."""
    sizes = [
        float((view.camera.world_from_cam[0, :3, 3] - place).norm() / view.camera.intrinsics[0, 0])
        for view in scene.views
    ]
    return statistics.median(sizes)


def scene_box(scene: Scene, bounds: Bounds | None, mode: str = "scene") -> Tensor:
    """The box to mesh, in the scene frame: [2, 3] float32, lower and upper corner.

    With ``bounds`` (world units): the box around them in the scene frame. Without: the sparse points within the
    cameras' reach of the focus, without outliers; where there are too few points, a box around the focus; in the mode
    "object" no more of that than the subject's box (:func:`nerfkit.mesh.shape.subject.subject_box`).

    Raises:
        NerfkitError: ``bounds`` are empty.
    """
    if bounds is not None:
        return _around_world_bounds(scene, bounds)
    box = _around_points(scene)
    if mode == "scene":
        return box
    subject = subject_box(scene)
    both = torch.stack([torch.maximum(box[0], subject[0]), torch.minimum(box[1], subject[1])])
    return both if bool((both[0] < both[1]).all()) else subject


def _around_points(scene: Scene) -> Tensor:
    centers = torch.stack([view.camera.world_from_cam[0, :3, 3] for view in scene.views])  # [C, 3]
    reach = float(centers.norm(dim=1).max())
    points = scene.points[scene.points.norm(dim=1) <= reach]  # what is further away is background
    if len(points) < _MIN_POINTS:
        half = 0.6 * float(centers.norm(dim=1).median())
        return torch.tensor([[-half] * 3, [half] * 3])
    ordered = points.sort(dim=0).values  # [P, 3]
    trim = int(_TRIM * len(points))
    low, high = ordered[trim], ordered[len(points) - 1 - trim]
    padding = _PADDING * float((high - low).max())
    return torch.stack([low - padding, high + padding])


def _around_world_bounds(scene: Scene, bounds: Bounds) -> Tensor:
    low, high = bounds[:3], bounds[3:]
    if not all(a < b for a, b in zip(low, high, strict=True)):
        raise NerfkitError(f"mesh bounds {bounds} are empty: give x0 y0 z0 x1 y1 z1 with x0 < x1, y0 < y1, z0 < z1")
    corners = torch.tensor(list(product(*zip(low, high, strict=True))), dtype=torch.float64)  # [8, 3]
    corners = scene.scene_from_world.points(corners)
    return torch.stack([corners.amin(0), corners.amax(0)]).float()
