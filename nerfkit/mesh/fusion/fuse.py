"""Model → depth maps at the training views → one TSDF volume, where the surfaces are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit import cameras, files
from nerfkit.contracts import Cameras, Channel, RenderCore, Rendering, SceneModel
from nerfkit.core.volume import BYTES_PER_BLOCK, BlockMap, Volume
from nerfkit.errors import NerfkitError
from nerfkit.machine import available_memory
from nerfkit.mesh.fusion import agreement
from nerfkit.mesh.fusion.bounds import scene_grid
from nerfkit.mesh.fusion.depth_maps import DepthMaps
from nerfkit.mesh.options import MeshOptions
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_CHANNELS: frozenset[Channel] = frozenset({"alpha", "depth"})
_MOST_MARKS = 1 << 27  # blocks in the box: 0.5 GB; 4096 voxels along each side
_BYTES_FOR_CUBES = 3600  # that marching cubes takes for a block, beside it
_NOISE = 20.0  # the truncation is at least so many standard deviations of a depth, since bumps have long tails…
_FINEST = 0.3  # standard deviations of a depth in a voxel, at most, where no one chose its size…
_FEWEST = 128  # … and it isn't larger than for so many along the box
_MOST_WIDENING = 3.0  # … and at most so many times what is asked for: memory and time grow with it


def render_depths(
    model: SceneModel,
    scene: Scene,
    options: MeshOptions,
    folder: Path | None = None,
    progress: ProgressSink = quiet,
    *,
    colors: bool = True,
) -> DepthMaps:
    """Renders ``model`` at the training views of ``scene``, and at no others.

    Args:
        colors: whether the maps have colours; black ones come several times as fast from a model that marches rays.
        folder: where the depth maps are kept (8 bytes a pixel); it appears when all are there. Without it they stay in
            memory.

    Raises:
        NerfkitError: no training views, no median depth where that is asked for, or no space left.
    """
    if not scene.train:
        raise NerfkitError("no views to fuse: the scene has no training photos")
    if folder is None:
        return _render_all(model, scene, options, DepthMaps(), progress, colors)
    _check_room(scene, options, folder)
    with files.atomic(folder) as partial:
        partial.mkdir()
        _render_all(model, scene, options, DepthMaps(partial), progress, colors)
    return DepthMaps.open(folder)


def _check_room(scene: Scene, options: MeshOptions, folder: Path) -> None:
    """Raises NerfkitError: no room for the depth maps, which is better known before they are rendered."""
    views = [_scaled(scene.views[index].camera, options.image_scale) for index in scene.train]
    needed = DepthMaps.BYTES_PER_PIXEL * sum(camera.width * camera.height for camera in views)
    free = shutil.disk_usage(next(place for place in folder.absolute().parents if place.exists())).free
    if needed > free:
        raise NerfkitError(
            f"{folder}: the depth maps of {len(views)} photos take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} are "
            "free; free some space, or give half the --image-scale, which takes a quarter"
        )


def fuse(
    maps: DepthMaps,
    scene: Scene,
    options: MeshOptions,
    core: RenderCore,
    device: torch.device | str = "cpu",
    progress: ProgressSink = quiet,
    *,
    found: agreement.Agreement | None = None,
) -> Volume:
    """Fuses depth maps over the box that the options ask for, on a device.

    A first pass finds the blocks that any of the surfaces reaches, a second one lets all maps speak about all of them:
    what one view takes for a surface another one that sees through it carves away, whatever their order.

    Args:
        found: how well the maps agree, where that is known already.

    Raises:
        NerfkitError: nothing is seen inside the bounds, the views don't agree at all, or the volume would not fit into
            memory.
    """
    found = found or agreement.agreement(maps)
    agreement.check(found)
    wanted = block_map(scene, options, device, found.noise)
    total = len(maps)
    done = 0
    for depth, pixels, views in maps.batches(device):
        progress("fuse", total + done // 2, 2 * total)
        core.tsdf_mark(wanted, depth, pixels, views)
        done += len(views)
    volume = allocated(wanted)
    for depth, pixels, views in maps.batches(device):
        progress("fuse", total + done // 2, 2 * total)
        core.tsdf_integrate(volume, depth, pixels, views)
        done += len(views)
    progress("fuse", 2 * total, 2 * total)
    return volume


def block_map(scene: Scene, options: MeshOptions, device: torch.device | str = "cpu", noise: float = 0.0) -> BlockMap:
    """The blocks of the box that the options ask for, none marked yet.

    Args:
        noise: standard deviation of a depth, scene units: voxels that no one chose are not much finer, and the
            truncation is not much less.

    Raises:
        NerfkitError: the box is too large.
    """
    grid = scene_grid(scene, options)
    if options.resolution is None and options.voxel_size is None and noise > _FINEST * grid.voxel_size:
        fewer = int(max(grid.shape) * _FINEST * grid.voxel_size / noise)
        grid = scene_grid(scene, replace(options, resolution=max(fewer, _FEWEST)))
    truncation = options.truncation * grid.voxel_size
    truncation = max(truncation, min(_NOISE * noise, _MOST_WIDENING * truncation))
    x, y, z = grid.shape
    if x * y * z > _MOST_MARKS * 8**3:
        raise NerfkitError(
            f"a mesh box of {x} x {y} x {z} voxels is too large; "
            "choose a lower resolution, a larger voxel size or smaller bounds"
        )
    return BlockMap.empty(grid.origin, grid.shape, grid.voxel_size, truncation, device)


def allocated(wanted: BlockMap) -> Volume:
    """The volume of the marked blocks.

    Raises:
        NerfkitError: there are none, or more than fit into memory.
    """
    count = int(wanted.marks.sum())
    if not count:
        raise NerfkitError("no surface to mesh: the views show nothing opaque inside the bounds; train longer, "
                           "lower the minimum alpha or give other bounds")  # fmt: skip
    device = wanted.marks.device
    needed, free = count * (BYTES_PER_BLOCK + _BYTES_FOR_CUBES), available_memory(str(device))
    if needed > free:
        raise NerfkitError(
            f"a mesh volume of {count} blocks of 8 x 8 x 8 voxels needs {needed / 1e9:.1f} GB of memory, and "
            f"{free / 1e9:.1f} are free; choose a lower resolution, a larger voxel size or smaller bounds"
        )
    return Volume.of(wanted)


def _render_all(
    model: SceneModel, scene: Scene, options: MeshOptions, maps: DepthMaps, progress: ProgressSink, colors: bool
) -> DepthMaps:
    total = len(scene.train)
    for done, index in enumerate(scene.train):
        progress("fuse", done, 2 * total)
        camera = _scaled(scene.views[index].camera, options.image_scale)
        rendering = model.render(camera, _CHANNELS | {"rgb"} if colors else _CHANNELS, progress)
        depth = pick_depth(rendering, options.depth)
        assert rendering.alpha is not None  # it was asked for
        sure = confidence(depth, rendering.alpha, camera, options)
        if "confidence" in rendering.extras:  # the model's own, in its depth
            sure = sure * rendering.extras["confidence"]
        rgb = rendering.rgb if rendering.rgb is not None else depth.new_zeros(*depth.shape, 3)
        maps.add(depth, rgb, sure, camera)
    return maps


def pick_depth(rendering: Rendering, choice: str) -> Tensor:
    """The depth map to fuse: [H, W], scene units, 0 where nothing is seen."""
    median = rendering.extras.get("median_depth")
    if choice == "median" and median is None:
        raise NerfkitError("this model renders no median depth; mesh it with --depth expected")
    if median is not None and choice != "expected":
        return median.float()
    assert rendering.depth is not None
    return rendering.depth.float()


def confidence(depth: Tensor, alpha: Tensor, camera: Cameras, options: MeshOptions) -> Tensor:
    """Weight of each pixel [H, W]: opacity times the cosine between the surface and the line of sight.

    The surface's direction comes from the depth map itself, so that at a depth edge, where neighbours lie on
    different things, the angle is flat and the pixel is left out with the grazing ones. So are neighbours of holes.
    """
    points = _backproject(depth, camera)  # [H, W, 3] camera frame
    points = torch.where(depth[..., None] > 0, points, torch.inf)
    normal = torch.linalg.cross(_steepest(points, 1), _steepest(points, 0), dim=-1)
    cosine = (normal * points).sum(-1).abs() / (normal.norm(dim=-1) * points.norm(dim=-1)).clamp_min(1e-30)
    good = (depth > 0) & (alpha >= options.min_alpha) & (cosine >= options.min_cosine)  # false where it is no number
    return torch.where(good, alpha * cosine, 0)


def _backproject(depth: Tensor, camera: Cameras) -> Tensor:
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    height, width = depth.shape
    pixels = cameras.pixel_centers(width, height).to(depth)
    xy = (pixels - pixels.new_tensor([cx, cy])) / pixels.new_tensor([fx, fy])
    return torch.cat([xy, torch.ones_like(xy[..., :1])], -1) * depth[..., None]


def _steepest(points: Tensor, dim: int) -> Tensor:
    """Step to the neighbour along ``dim`` (before or behind) that changes depth the most: [H, W, 3]."""
    step = points.diff(dim=dim)
    edge = step.narrow(dim, 0, 1), step.narrow(dim, step.shape[dim] - 1, 1)
    before, behind = torch.cat([edge[0], step], dim), torch.cat([step, edge[1]], dim)
    return torch.where(before[..., 2:].abs() > behind[..., 2:].abs(), before, behind)


def _scaled(camera: Cameras, scale: float) -> Cameras:
    if scale == 1:
        return camera
    width, height = (
        max(2, round(camera.width * scale)),
        max(2, round(camera.height * scale)),
    )
    return cameras.resize(camera, width, height)
