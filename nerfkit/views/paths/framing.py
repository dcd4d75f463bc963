"""Sizes and fields of view of a path's frames, as the scene's photos have them."""

from __future__ import annotations

import math
from collections import Counter

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError

Size = tuple[int, int]  # width, height


def photo_size(scene: Scene) -> Size:
    """The commonest size of the scene's photos."""
    return Counter((view.camera.width, view.camera.height) for view in scene.views).most_common(1)[0][0]


def even_size(scene: Scene) -> Size:
    """The photos' size, made even: video encoders take no other."""
    width, height = photo_size(scene)
    return max(2, width // 2 * 2), max(2, height // 2 * 2)


def photo_poses(scene: Scene) -> Tensor:  # [C, 4, 4] float64
    if not scene.views:
        raise NerfkitError(f"{scene.name}: the scene has no views, so there is no path through them")
    return torch.cat([view.camera.world_from_cam for view in scene.views]).double()


def zoom(camera: Cameras, width: int, height: int) -> float:
    """The factor of the focal length that keeps the photo's field of view, by area where the shape changes."""
    return math.sqrt(width / camera.width * height / camera.height)


def photo_focal(scene: Scene, size: Size) -> Tensor:
    """The median of the photos' focal lengths [2], pixels of a picture of this size."""
    scaled = [view.camera.intrinsics[0, :2].double() * zoom(view.camera, *size) for view in scene.views]
    return torch.stack(scaled).median(0).values


def photo_fov(scene: Scene) -> float:
    """The photos' vertical field of view, radians."""
    size = photo_size(scene)
    return 2 * math.atan(size[1] / 2 / float(photo_focal(scene, size)[1]))


def framed(scene: Scene, world_from_cam: Tensor, size: Size | None, factor: Tensor | float = 1.0) -> Cameras:
    """Cameras [F] of one size with the photos' focal length times ``factor`` [F]; without a size, an even one."""
    width, height = size or even_size(scene)
    count = len(world_from_cam)
    focal = photo_focal(scene, (width, height)) * torch.as_tensor(factor, dtype=torch.float64).expand(count)[:, None]
    center = torch.tensor([width / 2, height / 2], dtype=torch.float64).expand(count, 2)
    return Cameras(world_from_cam.float(), torch.cat([focal, center], 1).float(), width, height)
