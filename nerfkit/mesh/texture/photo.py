"""One photo as a source of colours for a surface: what it shows of which point, and how far that can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Mesh, RenderCore, SceneModel
from nerfkit.core.types import FacePixels
from nerfkit.mesh.draw import face_pixels
from nerfkit.mesh.sample import planes_of
from nerfkit.threads import pictures_at_once

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene
    from nerfkit.data.view import PhotoView

_SMOOTH = 0.006  # deviation of the blur of the copy that photos are compared by, as a share of the longer side
_EDGE = 6.0  # change of slope, in pixels of depth per pixel: more is a step, less a crease
_RIM = 0.008  # width of the rim along depth edges in which trust fades, as a share of the longer side
_LEAST = 0.003  # trust in the rim itself: better than no colour
_MIN_COSINE = 0.12  # surfaces at a flatter angle are not looked at
_CHUNK = 1 << 22  # points at once
_PIXELS_BEHIND = 2.0  # how far behind the drawn surface a point may lie, by the depth that so many pixels span


@dataclass(frozen=True)
class Points:
    """Points of a surface, their parts in planes: so every photo's look at them takes half as long."""

    positions: Tensor  # [3, P] float32, in the scene's frame
    normals: Tensor  # [3, P] float32, unit

    @classmethod
    def of(cls, positions: np.ndarray, normals: np.ndarray) -> Points:
        """From arrays [P, 3]."""
        return cls(*(torch.from_numpy(array).float().T.contiguous() for array in (positions, normals)))

    def __len__(self) -> int:
        return self.positions.shape[1]

    def __getitem__(self, chosen: slice | Tensor) -> Points:
        return Points(self.positions[:, chosen], self.normals[:, chosen])


@dataclass(frozen=True)
class Seen:
    """What a photo shows of those K points that it sees."""

    point: Tensor  # [K] int64, their numbers
    weight: Tensor  # [K] float32 > 0
    sharp: Tensor  # [3, K] float32, 0..255
    smooth: Tensor  # [3, K] of the blurred photo; [0, K] where it was not asked for


class Photo:
    """A photo, the mesh drawn into it, and the trust in its pixels."""

    def __init__(
        self, image: np.ndarray, mask: np.ndarray | None, camera: Cameras, drawn: FacePixels, core: RenderCore
    ) -> None:
        """Args: image [H, W, 3] float32, 0..255; mask [H, W] uint8 or None; drawn: the mesh, [H, W]."""
        self.camera, self.drawn, self.core = camera, drawn, core
        side = max(image.shape[:2])
        trust = _trust(drawn.depth.numpy(), mask, max(2.0, _RIM * side), float(camera.intrinsics[0, :2].mean()))
        self.planes = torch.cat([planes_of(image), torch.from_numpy(trust)[None]])  # [4, H, W]: r, g, b and the trust

    @property
    def trust(self) -> Tensor:  # [H, W]
        return self.planes[3]

    @cached_property
    def _calm_planes(self) -> Tensor:
        """The blurred photo's planes [3, H, W], which take as long as all else and are seldom asked for."""
        image = self.planes[:3].permute(1, 2, 0).numpy()
        return planes_of(_blurred(image, self.trust.numpy(), max(1.5, _SMOOTH * max(image.shape[:2])))).contiguous()

    def look(self, points: Points, *, smooth: bool = False) -> Seen:
        """The colours of those points of the surface that the photo sees.

        The weight is the squared cosine of the angle, times the pixels per area of the surface, times the trust in the
        pixel. Points are seen if the mesh drawn into the photo isn't in front of them by more than a pixel's slope.
        """
        starts = range(0, max(1, len(points)), _CHUNK)
        parts = [self._look(points[start : start + _CHUNK], start, smooth) for start in starts]
        return Seen(*(torch.cat([getattr(part, name) for part in parts], -1) for name in Seen.__annotations__))

    def _look(self, points: Points, first: int, smooth: bool) -> Seen:
        weight, sharp = self._colors(points, self.planes[:3])
        point = np.flatnonzero(weight.numpy() > 0)  # NumPy finds and takes them in a quarter of PyTorch's time
        blurred = self._colors(points, self._calm_planes)[1] if smooth else sharp[:0]
        taken = (torch.from_numpy(part.numpy().take(point, -1)) for part in (weight, sharp, blurred))
        return Seen(torch.from_numpy(point + first), *taken)

    def _colors(self, points: Points, planes: Tensor) -> tuple[Tensor, Tensor]:
        """Of all points: weights [P], 0 where the photo doesn't see them, and colours [3, P]."""
        return self.core.photo_colors(
            points.positions.contiguous(), points.normals.contiguous(), self.camera, self.drawn.depth, self.trust,
            planes, _MIN_COSINE, _PIXELS_BEHIND,
        )  # fmt: skip


def load_photo(
    view: PhotoView, mesh: Mesh, core: RenderCore, table: np.ndarray | None = None, model: SceneModel | None = None
) -> Photo:
    """A training photo, or what ``model`` shows in its place, with the mesh drawn into it.

    Args:
        view: of the scene.
        mesh: in the scene's frame.
        core: whose operators draw and look.
        table: [3, 256] what values of r, g and b are changed to: the photo's exposure made alike.
        model: whose renders are taken instead of photos.
    """
    drawn = face_pixels(mesh, view.camera, core)
    if model is None:
        image, mask = view.image().numpy(), view.mask()
        alpha = None if mask is None else mask.numpy()
    else:
        shown = model.render(view.camera, frozenset({"rgb", "alpha"}))
        assert shown.rgb is not None and shown.alpha is not None
        image = (shown.rgb.cpu() * 255).round().clamp(0, 255).to(torch.uint8).numpy()
        alpha = (shown.alpha.cpu() * 255).round().clamp(0, 255).to(torch.uint8).numpy()
    if table is None:
        values = image.astype(np.float32)
    else:
        values = np.stack([table[channel][image[..., channel]] for channel in range(3)], -1).astype(np.float32)
    return Photo(values, alpha, view.camera, drawn, core)


def photos_at_once(scene: Scene) -> int:
    """How many of a scene's photos to look at at the same time; each takes 250 bytes a pixel, twice a usual picture."""
    return pictures_at_once(2 * max(view.camera.width * view.camera.height for view in scene.views))


def _blurred(image: np.ndarray, trust: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian means over the pixels that are trusted, so that what lies before each other doesn't mix."""
    weighted = cv2.GaussianBlur(np.dstack([image * trust[..., None], trust]), (0, 0), deviation)
    mean: np.ndarray = weighted[..., :3] / np.maximum(weighted[..., 3:], 1e-6)
    return mean


def _trust(depth: np.ndarray, mask: np.ndarray | None, rim: float, focal: float) -> np.ndarray:
    """[H, W] float32: 1 away from edges of depth, falling towards them on both sides; 0 outside of the mask.

    On planes 1 / depth is affine in the image, so that its second difference finds edges at any slope.
    """
    inverse = np.where(depth > 0, 1 / np.where(depth > 0, depth, 1), 0).astype(np.float32)
    edge = np.zeros(depth.shape, bool)
    for axis in (0, 1):
        bend = np.abs(np.diff(inverse, 2, axis=axis))
        middle = inverse.take(range(1, inverse.shape[axis] - 1), axis)
        core = [slice(None), slice(None)]
        core[axis] = slice(1, -1)
        edge[tuple(core)] |= bend > _EDGE / focal * np.maximum(middle, 1e-12)
    edge |= depth == 0
    if mask is not None:
        edge |= mask < 128
    away = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 3)
    trust = np.clip((away - 1) / rim, 0, 1) ** 2
    trust = np.maximum(trust, _LEAST)
    if mask is not None:
        trust = np.where(mask < 128, 0, trust)
    return trust.astype(np.float32)
