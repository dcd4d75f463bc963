"""What drawn pictures are compared with: photos over a background, coarse ones first."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit.cameras import resize
from nerfkit.contracts import Cameras, RenderCore
from nerfkit.core.types import Target
from nerfkit.data.resident import ResidentPhotos, room_for_photos
from nerfkit.models.devices import sent
from nerfkit.models.gaussians.consistency import grey

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene
    from nerfkit.data.view import PhotoView

_SMALLEST_SIDE = 64  # pixels: photos are not made coarser than this


class Targets:
    """A scene's photos, prepared for the loss; those of one level are kept, as many as fit."""

    def __init__(self, scene: Scene, core: RenderCore, device: torch.device, ignores_masks: bool, usual: Tensor):
        """Args: ignores_masks: what masks hide counts nothing, else it is background.
        usual: the background [3] of renders, which stays the same."""
        self.scene, self.core, self.device = scene, core, device
        self.ignores_masks, self.usual = ignores_masks, usual
        self.photos = ResidentPhotos(device)
        self._kept: OrderedDict[int, tuple[Target, Tensor | None]] = OrderedDict()
        self._kept_level = 0
        self._room = room_for_photos(device)

    def of(self, index: int, background: Tensor, level: int) -> tuple[Target, Tensor | None]:
        """A view's photo over the background, its sides :func:`halved`, and how much of each pixel [H, W] counts where
        not all do; kept where the background stays the same."""
        view = self.scene.views[index]
        if background is not self.usual and not self.ignores_masks and view.has_mask:
            return self._prepared(view, background, level)
        if level != self._kept_level:
            self._kept.clear()
            self._kept_level = level
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        made = self._kept[index] = self._prepared(view, background, level)
        size = 3 * made[0].planes.nbytes + (0 if made[1] is None else made[1].nbytes)
        while len(self._kept) > 1 and len(self._kept) * size > self._room:
            self._kept.popitem(last=False)
        return made

    def greys(self, view: PhotoView, level: int) -> Tensor:
        """A view's photo as greys [H, W] in [0, 1], its sides :func:`halved`; NaN where its mask hides something."""
        return _shrunk(grey(self.photos.get(view))[None], view.camera, level)[0]

    def _prepared(self, view: PhotoView, background: Tensor, level: int) -> tuple[Target, Tensor | None]:
        photo, mask = self.photos.get(view)
        behind = sent(background, self.device)
        if not self.ignores_masks or mask is None:
            return self.core.target(planes_over(photo, mask, view.camera, behind, level)), None
        shown = _shrunk(mask[None].float() / 255, view.camera, level)[0]
        return self.core.target(planes_over(photo, None, view.camera, behind, level)), shown


def halved(camera: Cameras, level: int) -> Cameras:
    """The camera over an image whose sides are halved ``level`` times, but stay large enough to see."""
    shrink = 2 ** max(0, min(level, int(math.log2(min(camera.width, camera.height) / _SMALLEST_SIDE))))
    return resize(camera, math.ceil(camera.width / shrink), math.ceil(camera.height / shrink)) if shrink > 1 else camera


def planes_over(photo: Tensor, mask: Tensor | None, full: Cameras, background: Tensor, level: int) -> Tensor:
    """A photo as planes [3, H, W] in [0, 1], over the background where it is transparent, averaged over blocks."""
    planes = photo.permute(2, 0, 1).contiguous().float().div_(255)  # as bytes: what follows goes along rows then
    if mask is not None:
        planes = torch.lerp(background[:, None, None], planes, mask.float().div_(255))
    return _shrunk(planes, full, level).contiguous()


def _shrunk(planes: Tensor, full: Cameras, level: int) -> Tensor:
    """Planes [C, H, W] averaged over blocks."""
    camera = halved(full, level)
    if (camera.width, camera.height) == (full.width, full.height):
        return planes
    return torch.nn.functional.interpolate(planes[None], size=(camera.height, camera.width), mode="area")[0]
