"""A fine picture seen from elsewhere: what a model that is slow to draw shows while the camera moves.

Each pixel is a point, by its depth, and is drawn where the new camera sees it, the nearest in front (image-based
rendering by forward warping: McMillan, *An Image-Based Approach to Three-Dimensional Computer Graphics*, 1997).
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from nerfkit.cameras import pixel_centers
from nerfkit.contracts import Cameras
from nerfkit.viewer.pictures import FAR, Picture

_MOST = 160_000  # pixels of a warped picture
_DENSE = 4  # points for each of them, so that few stay without one where the camera comes nearer
_NEAR = 1e-4


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """A picture and the pinhole camera that it was drawn with."""

    picture: Picture
    camera: Cameras

    @property
    def size(self) -> int:
        return self.camera.width * self.camera.height


def warped(fine: Seen, sketch: Seen) -> Picture:
    """The view of ``sketch`` with the details of ``fine``, where that one saw what is there."""
    grow = math.sqrt(min(_MOST, fine.size) / sketch.size)
    width, height = round(sketch.camera.width * grow), round(sketch.camera.height * grow)
    enlarged = sketch.picture.enlarged(width, height)
    image, depth = torch.from_numpy(enlarged.image).flatten(0, 1), torch.from_numpy(enlarged.depth).flatten()
    points, colors = _points(fine, _DENSE * width * height)
    place, z = _project(points, sketch.camera, width, height)
    inside = place >= 0
    place, z, colors = place[inside], z[inside], colors[inside]
    front = torch.full_like(depth, torch.inf).scatter_reduce(0, place, z, "amin")
    first = z <= front[place] * 1.001
    image[place[first]] = colors[first]
    depth[place[first]] = z[first]
    return Picture(image.view(height, width, 3).numpy(), depth.view(height, width).numpy())


def _points(seen: Seen, most: int) -> tuple[Tensor, Tensor]:
    """World points [P, 3] and colours [P, 3] uint8 of a picture's pixels that show something."""
    camera = seen.camera
    step = max(1, round((seen.size / most) ** 0.5))
    cut = slice(step // 2, None, step)
    depth = torch.from_numpy(seen.picture.depth)[cut, cut].flatten()
    colors = torch.from_numpy(seen.picture.image)[cut, cut].flatten(0, 1)
    pixels = pixel_centers(camera.width, camera.height).view(camera.height, camera.width, 2)[cut, cut].flatten(0, 1)
    there = (depth > _NEAR) & (depth < FAR)
    depth, pixels = depth[there], pixels[there]
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    local = (
        torch.stack([(pixels[:, 0] - cx) / fx, (pixels[:, 1] - cy) / fy, torch.ones_like(depth)], 1) * depth[:, None]
    )
    pose = camera.world_from_cam[0]
    return local @ pose[:3, :3].T + pose[:3, 3], colors[there]


def _project(points: Tensor, camera: Cameras, width: int, height: int) -> tuple[Tensor, Tensor]:
    """The index of the pixel [P], of a picture of that size, that each point falls into, -1 outside, and its z [P]."""
    pose = camera.world_from_cam[0]
    local = (points - pose[:3, 3]) @ pose[:3, :3]
    z = local[:, 2]
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    near = z.clamp_min(_NEAR)
    x = ((local[:, 0] / near * fx + cx) * (width / camera.width)).floor().clamp(-1, width).long()
    y = ((local[:, 1] / near * fy + cy) * (height / camera.height)).floor().clamp(-1, height).long()
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height) & (z > _NEAR)
    return torch.where(inside, y * width + x, -1), z
