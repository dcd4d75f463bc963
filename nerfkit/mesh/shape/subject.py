"""What the cameras look at, apart from what is around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nerfkit.cameras import project
from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.shape.clean import pieces, select_faces

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_MOST_VIEWS = 120  # that are asked, evenly chosen
_SHARE = 0.5  # of the views have a part of the subject in the picture
_BACKGROUND = 0.15  # of those views may have a part of it outside their mask: masks are not perfect
_MASK_MARGIN = 0.005  # of the picture's width, by which masks are widened
_GRID = 48
_MIDDLE = 0.6  # of the subject's radius: pieces that don't reach so far in belong to something else
_SMALL = 0.02  # of the largest piece's area


def subject_box(scene: Scene) -> Tensor:
    """The box of the subject in the scene frame: [2, 3] float32, lower and upper corner.

    The subject lies in a ball around the cameras' focus that just fills the typical picture, in the part of it that
    half of the views have in the picture at least; and where photos have masks, in their visual hull (Laurentini 1994),
    give or take a little.

    Raises:
        NerfkitError: no part of the scene is common to the views: photos from one place, or outwards.
    """
    radius = subject_radius(scene)
    axis = (torch.arange(_GRID) + 0.5) / _GRID * 2 - 1
    points = radius * torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).reshape(-1, 3)
    cell = 2 * radius / _GRID
    inside = points[_belongs(scene, points, cell)]
    if not len(inside):
        raise NerfkitError(
            f"{scene.name}: the photos look at nothing in common, so no object can be cut out; use --mode scene"
        )
    return torch.stack([inside.amin(0) - cell, inside.amax(0) + cell])


def cut_out(mesh: Mesh, scene: Scene) -> Mesh:
    """The subject's part of a mesh of the scene frame.

    Faces are kept whose corners all belong to the subject (:func:`subject_box`), in pieces that reach the middle.

    Raises:
        NerfkitError: nothing is left.
    """
    keep = _belongs(scene, torch.from_numpy(np.asarray(mesh.vertices, np.float32)), 0.0)
    part = select_faces(mesh, keep[mesh.faces].all(1))
    if len(part.faces):
        piece, area = pieces(part)
        nearest = np.full(len(area), np.inf)
        np.minimum.at(nearest, piece, np.linalg.norm(part.vertices[part.faces].mean(1), axis=1))
        central = nearest <= _MIDDLE * subject_radius(scene)
        if central.any():
            part = select_faces(part, (central & (area >= _SMALL * area[central].max()))[piece])
    if not len(part.faces):
        raise NerfkitError(f"{scene.name}: no surface where the cameras look; use --mode scene, or give --bounds")
    return part


def subject_radius(scene: Scene) -> float:
    """Of the ball around the focus that fills the longer side of the typical picture, scene units."""
    sizes = []
    for view in scene.views:
        camera = view.camera
        fx, fy = camera.intrinsics[0, :2].tolist()
        forward = camera.world_from_cam[0, :3, 2]
        depth = float(-(camera.world_from_cam[0, :3, 3] * forward).sum())  # of the focus
        sizes.append(depth * max(camera.width / fx, camera.height / fy) / 2)
    return max(float(np.median(sizes)), 1e-3)


def _belongs(scene: Scene, points: Tensor, margin: float) -> np.ndarray:
    """Which points [P, 3] of the scene frame belong to the subject: [P] bool. ``margin`` widens masks, scene units."""
    inside = np.asarray(points.norm(dim=1) <= subject_radius(scene))
    some = points[torch.from_numpy(inside)]
    seen, masked, behind = (torch.zeros(len(some), dtype=torch.int32) for _ in range(3))
    stride = -(-len(scene.views) // _MOST_VIEWS)
    views = scene.views[::stride]
    for view in views:
        camera = view.camera
        pixels, z = project(camera, some)
        u, v = pixels[0].unbind(1)
        visible = (z[0] > 0) & (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
        seen += visible
        mask = view.mask()
        if mask is not None:
            reach = margin * float(camera.intrinsics[0, 0]) / float(z[0].clamp_min(1e-6).median()) if len(z[0]) else 0
            wide = _widened(mask, round(reach + _MASK_MARGIN * camera.width))
            index = torch.where(visible, v.long().clamp(0, camera.height - 1), 0)
            column = torch.where(visible, u.long().clamp(0, camera.width - 1), 0)
            masked += visible
            behind += visible & (wide[index, column] < 128)
    part = (seen >= _SHARE * len(views)) & (behind <= _BACKGROUND * masked)
    inside[inside] = part.numpy()
    return inside


def _widened(mask: Tensor, pixels: int) -> Tensor:
    """A mask [H, W] whose foreground is wider by some pixels."""
    import cv2

    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return torch.from_numpy(cv2.dilate(np.ascontiguousarray(mask.numpy()), kernel))
