"""Sizes and fields of view of a path's frames, as the scene's photos have them."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import torch
from torch import Tensor

from nerfkit.cameras import project
from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError

Size = tuple[int, int]  # width, height

SUBJECT = 0.8  # of the photos have what is taken for their subject in the picture
REACH = 0.98  # of the subject's points count: the others may be stray ones
FEWEST = 20  # points that tell where the subject is
MARGIN = 1.03


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


def widened(cameras: Cameras, scene: Scene) -> Cameras:
    """The path [F] with a shorter focal length where it would cut the photos' subject at the edges.

    That happens where the frames have another shape than the photos: by area, a wide frame shows less of a tall photo's
    height. What is added is what the whole subject takes, and at most what the photos show in height and in width; half
    of that (on a logarithmic scale) where the photos have a background, of which nothing is known beside them. Without
    points, that is how large the subject may be.
    """
    size = photo_size(scene)
    limit = zoom(Cameras(cameras.world_from_cam[:1], cameras.intrinsics[:1], *size), cameras.width, cameras.height)
    limit /= min(cameras.width / size[0], cameras.height / size[1])
    if not scene.has_alpha:
        limit = math.sqrt(limit)
    factor = min(limit, max(1.0, MARGIN * _reach(cameras, _subject(scene))))
    shorter = cameras.intrinsics / cameras.intrinsics.new_tensor([factor, factor, 1, 1])
    return replace(cameras, intrinsics=shorter)


def _subject(scene: Scene) -> Tensor:
    """Points [P, 3] that nearly all photos show; none where there are too few."""
    if scene.points_are_random or not len(scene.points):
        return scene.points[:0]
    size = photo_size(scene)
    photos = framed(scene, photo_poses(scene), size)
    shown = (_offsets(photos, scene.points) < 1).float().mean(0) > SUBJECT  # [P]
    return scene.points[shown] if int(shown.sum()) >= FEWEST else scene.points[:0]


def _reach(cameras: Cameras, points: Tensor) -> float:
    """How far off the picture's middle the points lie, at most over the path; 1 is its edge."""
    if not len(points):
        return math.inf
    return float(_offsets(cameras, points).quantile(REACH, dim=1).max())


def _offsets(cameras: Cameras, points: Tensor) -> Tensor:
    """How far off the pictures' middles points [P, 3] lie, 1 at the nearest edge: [F, P]; infinite behind a camera."""
    pixels, depth = project(cameras, points)
    middle = pixels.new_tensor([cameras.width, cameras.height]) / 2
    return torch.where(depth > 0, ((pixels - middle) / middle).abs().amax(-1), torch.inf)


def framed(scene: Scene, world_from_cam: Tensor, size: Size | None, factor: Tensor | float = 1.0) -> Cameras:
    """Cameras [F] of one size with the photos' focal length times ``factor`` [F]; without a size, an even one."""
    width, height = size or even_size(scene)
    count = len(world_from_cam)
    focal = photo_focal(scene, (width, height)) * torch.as_tensor(factor, dtype=torch.float64).expand(count)[:, None]
    center = torch.tensor([width / 2, height / 2], dtype=torch.float64).expand(count, 2)
    return Cameras(world_from_cam.float(), torch.cat([focal, center], 1).float(), width, height)
