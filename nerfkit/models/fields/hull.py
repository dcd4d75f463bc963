"""Where in space the training photos allow anything to be: cells that some photo sees and none shows empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from nerfkit import cameras

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene
    from nerfkit.data.view import PhotoView

_SOME, _MANY = 0.1, 0.3  # of the photos
_NEAREST = 0.05  # scene units: cells nearer to a camera are not judged by it


def possible_cells(scene: Scene, center: Tensor, half: float, cells: int, by_alpha: bool) -> Tensor:
    """Which of ``cells^3`` cells of a cube may hold something: [G, G, G] bool, by z, y and x.

    A cell is ruled out where no training photo sees it and, ``by_alpha``, where one that sees it is transparent all
    over the cell's image (the visual hull, Laurentini 1994). What lies beside the photos' common view is rarely ruled
    out so: cells that few photos see are, and pieces of the hull that many photos see nothing of.
    """
    axis = ((torch.arange(cells) + 0.5) / cells * 2 - 1) * half
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    centers = torch.stack([x, y, z], -1).reshape(-1, 3) + center
    radius = 3**0.5 * half / cells
    seen, empty = torch.zeros(len(centers), dtype=torch.int32), torch.zeros(len(centers), dtype=torch.bool)
    for index in scene.train:
        left = (~empty).nonzero()[:, 0]
        inside, shown = _look(scene.views[index], centers[left], radius, by_alpha)
        seen[left] += inside
        if shown is not None:
            empty[left] = inside & ~shown
    if not by_alpha:
        return (seen > 0).view(cells, cells, cells)
    possible = ((seen >= _SOME * len(scene.train)) & (seen > 0) & ~empty).view(cells, cells, cells)
    return _connected(possible, possible & (seen >= _MANY * len(scene.train)).view_as(possible))


def _connected(cells: Tensor, seeds: Tensor) -> Tensor:
    """The cells [G, G, G] that lie together with seeds, by faces, edges or corners."""
    reached = seeds
    while True:
        grown = torch.nn.functional.max_pool3d(reached[None, None].float(), 3, 1, 1)[0, 0].bool() & cells
        if torch.equal(grown, reached):
            return reached
        reached = grown


def _look(view: PhotoView, xyz: Tensor, radius: float, by_alpha: bool) -> tuple[Tensor, Tensor | None]:
    """Which balls around points [P, 3] have their centre in a photo, and where it isn't all transparent."""
    pixels, depth = cameras.project(view.camera, xyz)
    pixels, depth = pixels[0], depth[0]
    width, height = view.camera.width, view.camera.height
    inside = (depth > _NEAREST) & (pixels >= 0).all(1) & (pixels[:, 0] < width) & (pixels[:, 1] < height)
    mask = view.mask() if by_alpha and view.has_alpha else None
    if mask is None:
        return inside, None
    distance = torch.from_numpy(cv2.distanceTransform((mask.numpy() == 0).astype(np.uint8), cv2.DIST_L2, 5))
    x, y = pixels[:, 0].clamp(0, width - 1).long(), pixels[:, 1].clamp(0, height - 1).long()
    reach = radius * float(view.camera.intrinsics[0, :2].max()) / depth + 1  # of the ball's image, pixels
    return inside, distance.view(-1)[y * width + x] <= reach


def fitting_cube(possible: Tensor, center: Tensor, half: float) -> tuple[Tensor, float] | None:
    """Centre and half side of the smallest cube around the possible cells, one cell wider; None without any."""
    cells = possible.shape[0]
    found = possible.nonzero()
    if len(found) == 0:
        return None
    size = 2 * half / cells
    low = found.amin(0).flip(0) * size - half + center  # z, y, x to x, y, z
    high = (found.amax(0).flip(0) + 1) * size - half + center
    return (low + high) / 2, float((high - low).max()) / 2 + size
