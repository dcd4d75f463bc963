"""Model → depth maps at the training views → one TSDF volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Cameras, Channel, Rendering, SceneModel
from nerfkit.core.volume import Volume
from nerfkit.errors import NerfkitError
from nerfkit.mesh.bounds import scene_grid
from nerfkit.mesh.density import device_of
from nerfkit.mesh.options import MeshOptions
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_CHANNELS: frozenset[Channel] = frozenset({"rgb", "alpha", "depth"})
_BYTES_PER_VOXEL = 24  # of a Volume


class Integrate(Protocol):
    """``core.tsdf_integrate``, or its reference."""

    def __call__(
        self,
        volume: Volume,
        depth: Tensor,
        rgb: Tensor,
        camera: Cameras,
        weight: Tensor | None = None,
    ) -> None: ...


def fuse(
    model: SceneModel,
    scene: Scene,
    options: MeshOptions,
    integrate: Integrate,
    progress: ProgressSink = quiet,
) -> Volume:
    """Renders ``model`` at the training views of ``scene``, and at no others, and fuses what it shows."""
    volume = empty_volume(scene, options, device_of(model))
    for done, index in enumerate(scene.train):
        progress("fuse", done, len(scene.train))
        camera = _scaled(scene.views[index].camera, options.image_scale)
        rendering = model.render(camera, _CHANNELS, progress)
        depth = pick_depth(rendering, options.depth)
        assert rendering.rgb is not None and rendering.alpha is not None  # they were asked for
        weight = confidence(depth, rendering.alpha, camera, options)
        if "confidence" in rendering.extras:
            weight = weight * rendering.extras["confidence"]
        rgb = (rendering.rgb * 255).round().clamp(0, 255).to(torch.uint8)
        integrate(volume, depth, rgb, camera, weight)
    progress("fuse", len(scene.train), len(scene.train))
    return volume


def empty_volume(scene: Scene, options: MeshOptions, device: torch.device | str = "cpu") -> Volume:
    """The volume over the box that the options ask for, on the device.

    Raises:
        NerfkitError: it would not fit into memory.
    """
    origin, shape, voxel_size = scene_grid(scene, options, _BYTES_PER_VOXEL)
    return Volume.empty(origin, shape, voxel_size, options.truncation * voxel_size, device)


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
