"""A fine picture seen from elsewhere: what a model that is slow to draw shows while the camera moves.

Each pixel is a point, by its depth, and is drawn where the new camera sees it, the nearest in front (image-based
rendering by forward warping: McMillan, *An Image-Based Approach to Three-Dimensional Computer Graphics*, 1997).
"""

from __future__ import annotations

import dataclasses
import functools
import math

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.viewer.pictures import Picture

_MOST = 100_000  # pixels of a warped picture: a few hundredths of a second
_DENSE = 2  # points for each of them, so that few stay without one where the camera comes nearer
_MOST_NEIGHBOURS = 4  # of eight
_NEAR = 1e-4
_SLACK = 0.05  # of their depth, that points may lie before or behind what the sketch shows


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """A picture and the pinhole camera that it was drawn with."""

    picture: Picture
    camera: Cameras

    @property
    def size(self) -> int:
        return self.camera.width * self.camera.height

    @functools.cached_property
    def points(self) -> tuple[Tensor, Tensor]:
        """World points [3, P] and colours [P, 3] uint8 of evenly spread pixels; what is empty is far away."""
        camera = self.camera
        step = max(1, round(math.sqrt(self.size / (_DENSE * _MOST))))
        depth = torch.from_numpy(self.picture.depth)[step // 2 :: step, step // 2 :: step]
        y, x = (depth > _NEAR).nonzero(as_tuple=True)
        z, colors = depth[y, x], torch.from_numpy(self.picture.image)[step // 2 :: step, step // 2 :: step][y, x]
        fx, fy, cx, cy = camera.intrinsics[0].tolist()
        corner = step // 2 + 0.5  # the first pixel's centre
        local = torch.stack([(x * step + (corner - cx)) / fx * z, (y * step + (corner - cy)) / fy * z, z])
        pose = camera.world_from_cam[0]
        return pose[:3, :3] @ local + pose[:3, 3:], colors


def warped(fine: Seen, sketch: Seen) -> Picture:
    """The view of ``sketch`` with the details of ``fine``, where that one saw what is there.

    What is there the sketch's own depth tells: points at other depths are hidden from here, or were seen through a mist
    whose depth is noise, and would be speckles.
    """
    grow = math.sqrt(min(_MOST, fine.size / _DENSE) / sketch.size)
    width, height = round(sketch.camera.width * grow), round(sketch.camera.height * grow)
    enlarged = sketch.picture.enlarged(width, height)
    image, depth = torch.from_numpy(enlarged.image).flatten(0, 1), torch.from_numpy(enlarged.depth).flatten()
    points, colors = fine.points
    place, z = _project(points, sketch.camera, width, height)
    index = (place >= 0).nonzero()[:, 0]
    place, z = place[index], z[index]
    nearest, farthest = _depths_around(sketch.picture, width, height)
    there = ((z > nearest[place]) & (z < farthest[place])).nonzero()[:, 0]
    index, place, z = index[there], place[there], z[there]
    front = torch.full_like(depth, torch.inf).scatter_reduce(0, place, z, "amin")
    first = (z <= front[place]).nonzero()[:, 0]
    place = place[first]
    image[place] = colors[index[first]]
    depth[place] = z[first]
    known = np.zeros((height, width), np.float32)
    known.reshape(-1)[place.numpy()] = 1
    return _mended(Picture(enlarged.image, enlarged.depth), known)


def _depths_around(picture: Picture, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Between which depths things are, by the pixels around, for each pixel of a picture of that size: [P] each."""
    around = np.ones((3, 3), np.uint8)
    nearest, farthest = cv2.erode(picture.depth, around), cv2.dilate(picture.depth, around)
    limits = [nearest * np.float32(1 - _SLACK), farthest * np.float32(1 + _SLACK)]
    low, high = (cv2.resize(one, (width, height), interpolation=cv2.INTER_NEAREST) for one in limits)
    return torch.from_numpy(low).flatten(), torch.from_numpy(high).flatten()


def _mended(picture: Picture, known: NDArray[np.float32]) -> Picture:
    """Fills what isn't ``known`` [H, W] from its eight neighbours where most of these are: cracks between points."""
    weight = cv2.boxFilter(known, -1, (3, 3), normalize=False)
    cracks = (known == 0) & (weight >= _MOST_NEIGHBOURS)
    image, depth = picture.image.copy(), picture.depth.copy()
    around = cv2.boxFilter(picture.image * known[..., None], -1, (3, 3), normalize=False)
    image[cracks] = (around[cracks] / weight[cracks][:, None]).round().astype(np.uint8)
    depth[cracks] = cv2.boxFilter(picture.depth * known, -1, (3, 3), normalize=False)[cracks] / weight[cracks]
    return Picture(image, depth)


def _project(points: Tensor, camera: Cameras, width: int, height: int) -> tuple[Tensor, Tensor]:
    """The index of the pixel [P], of a picture of that size, that each point falls into, -1 outside, and its z [P]."""
    pose = camera.world_from_cam[0]
    x, y, z = pose[:3, :3].T @ points - pose[:3, :3].T @ pose[:3, 3:]
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    across, down = width / camera.width, height / camera.height
    near = z.clamp_min(_NEAR)
    column = (x / near).mul_(fx * across).add_(cx * across).floor_().clamp_(-1, width)
    row = (y / near).mul_(fy * down).add_(cy * down).floor_().clamp_(-1, height)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height) & (z > _NEAR)
    return torch.where(inside, row.int() * width + column.int(), -1).long(), z
