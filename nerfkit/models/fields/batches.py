"""Batches of pixels from the training photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit.cameras import moved
from nerfkit.contracts import Cameras, Rays, RenderCore
from nerfkit.data.resident import ResidentPixels, first_shown
from nerfkit.models.devices import generator_on, sent

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_CPU = torch.device("cpu")
_PHOTOS = 32  # a batch takes pixels of this many, so that no more need to be decoded for it
_TRIES = 4  # pixels that are looked at for each one, where it may be hidden


@dataclass(frozen=True)
class Batch:
    rays: Rays  # scene frame; camera_index counts the scene's views
    colors: Tensor  # [R, 3] in [0, 1], premultiplied by alpha
    alphas: Tensor | None  # [R]; None where no photo has any transparency
    photos: Tensor  # [P] places in the scene's training photos, of each R / P rays, one after the other
    shown: Tensor | None = None  # [R] in [0, 1], how much of each counts; None: all do

    def over(self, background: Tensor) -> Tensor:
        """The pixels over a background [R, 3] or [3]."""
        return self.colors if self.alphas is None else self.colors + (1 - self.alphas[:, None]) * background

    def where_shown(self, rgb: Tensor, target: Tensor) -> Tensor:
        """Drawn colours [R, 3], but the target's where that is hidden: nothing is learned of it."""
        return rgb if self.shown is None else torch.lerp(target, rgb, self.shown[:, None])


class PixelBatches:
    """Draws pixels: photos in random passes over all of them, places at random."""

    def __init__(self, scene: Scene, core: RenderCore, device: torch.device = _CPU, ignores_masks: bool = False):
        """Args: ignores_masks: what masks hide is left out; else nothing is there."""
        self.scene, self.core, self.device = scene, core, device
        self.views = [scene.views[index] for index in scene.train]
        cameras = Cameras(  # sizes differ between photos, but rays don't ask for them
            torch.cat([view.camera.world_from_cam for view in self.views]),
            torch.cat([view.camera.intrinsics for view in self.views]),
            self.views[0].camera.width,
            self.views[0].camera.height,
        )
        self.cameras = moved(cameras, device)
        self.has_masks = any(view.has_mask for view in self.views)
        self.ignores_masks = ignores_masks and self.has_masks
        self.queue: list[int] = []  # places in scene.train left in this pass
        self._resident: ResidentPixels | None = None  # made with the first batch: many models only draw

    def draw(self, count: int, rng: torch.Generator) -> Batch:
        """About ``count`` pixels: as many of each photo of the batch."""
        places, of_each = self.choose(count, rng)
        on_device = sent(torch.tensor(places), self.device)
        if self.are_resident():
            return self.draw_resident(on_device, of_each, generator_on(self.device, rng))
        return self._batch(on_device, of_each, *self._decoded(places, of_each, rng))

    def choose(self, count: int, rng: torch.Generator) -> tuple[list[int], int]:
        """The photos of a batch of about ``count`` pixels, by their places in the scene's training photos, and how many
        pixels are to be taken of each."""
        photos = min(_PHOTOS, len(self.views), count)
        return [self._next_photo(rng) for _ in range(photos)], -(-count // photos)

    def draw_resident(self, places: Tensor, of_each: int, rng: torch.Generator) -> Batch:
        """Pixels of photos [P], picked on the GPU, where ``rng`` is, too. Nothing waits for it."""
        return self._batch(places, of_each, *self._pixels().draw(places, of_each, rng, self._tries))

    @property
    def _tries(self) -> int:
        return _TRIES if self.ignores_masks else 1

    def _batch(self, places: Tensor, of_each: int, pixels: Tensor, colors: Tensor, alphas: Tensor | None) -> Batch:
        index = places[:, None].expand(-1, of_each).reshape(-1)
        rays = self.core.rays(self.cameras, index, pixels)
        color = colors.float().div_(255)
        if alphas is None:
            return Batch(rays, color, None, places)
        alpha = alphas.float().div_(255)
        if self.ignores_masks:
            return Batch(rays, color, None, places, alpha)
        return Batch(rays, color * alpha[:, None], alpha, places)

    def _next_photo(self, rng: torch.Generator) -> int:
        if not self.queue:
            self.queue = torch.randperm(len(self.views), generator=rng).tolist()
        return self.queue.pop()

    def are_resident(self) -> bool:
        """Whether the pixels are picked on the GPU: where it has room for all of them."""
        if self.device.type == "cpu":
            return False
        return self._resident is not None or ResidentPixels.fit(self.views, self.has_masks, self.device)

    def _pixels(self) -> ResidentPixels:
        if self._resident is None:
            self._resident = ResidentPixels(self.views, self.has_masks, self.device)
        return self._resident

    def _decoded(self, places: list[int], of_each: int, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor | None]:
        """As :meth:`ResidentPixels.draw`, from the scene's cache."""
        pixels, colors, alphas = [], [], []
        for place in places:
            view = self.views[place]
            height, width = view.camera.height, view.camera.width
            mask = view.mask() if self.has_masks else None
            flat = torch.randint(height * width, (of_each, self._tries), generator=rng)
            flat = first_shown(flat, None if mask is None else mask.view(-1)[flat])
            pixels.append(torch.stack([flat % width, flat // width], 1) + 0.5)
            colors.append(view.image().view(-1, 3)[flat])
            alphas.append(torch.full((of_each,), 255, dtype=torch.uint8) if mask is None else mask.view(-1)[flat])
        alpha = sent(torch.cat(alphas), self.device) if self.has_masks else None
        return sent(torch.cat(pixels), self.device), sent(torch.cat(colors), self.device), alpha
