"""Batches of pixels from the training photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Rays, RenderCore

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_PHOTOS = 32  # a batch takes pixels of this many, so that no more need to be decoded for it


@dataclass(frozen=True)
class Batch:
    rays: Rays  # scene frame; camera_index counts the scene's views
    colors: Tensor  # [R, 3] in [0, 1], premultiplied by alpha
    alphas: Tensor | None  # [R]; None where no photo has any transparency

    def over(self, background: Tensor) -> Tensor:
        """The pixels over a background [R, 3] or [3]."""
        return self.colors if self.alphas is None else self.colors + (1 - self.alphas[:, None]) * background


class PixelBatches:
    """Draws pixels: photos in random passes over all of them, places at random."""

    def __init__(self, scene: Scene, core: RenderCore):
        self.scene, self.core = scene, core
        views = [scene.views[index] for index in scene.train]
        self.cameras = Cameras(  # sizes differ between photos, but rays don't ask for them
            torch.cat([view.camera.world_from_cam for view in views]),
            torch.cat([view.camera.intrinsics for view in views]),
            views[0].camera.width,
            views[0].camera.height,
        )
        self.has_masks = any(view.has_alpha or view.mask_path for view in views)
        self.queue: list[int] = []  # places in scene.train left in this pass

    def draw(self, count: int, rng: torch.Generator) -> Batch:
        """About ``count`` pixels: as many of each photo of the batch."""
        photos = min(_PHOTOS, len(self.scene.train), count)
        of_each = -(-count // photos)
        pixels, colors, alphas, chosen = [], [], [], []
        for _ in range(photos):
            if not self.queue:
                self.queue = torch.randperm(len(self.scene.train), generator=rng).tolist()
            place = self.queue.pop()
            view = self.scene.views[self.scene.train[place]]
            height, width = view.camera.height, view.camera.width
            flat = torch.randint(height * width, (of_each,), generator=rng)
            pixels.append(torch.stack([flat % width, flat // width], 1) + 0.5)
            colors.append(view.image().view(-1, 3)[flat])
            mask = view.mask() if self.has_masks else None
            alphas.append(torch.full((of_each,), 255, dtype=torch.uint8) if mask is None else mask.view(-1)[flat])
            chosen.append(place)
        index = torch.tensor(chosen).repeat_interleave(of_each)
        rays = self.core.rays(self.cameras, index, torch.cat(pixels))
        color = torch.cat(colors).float().div_(255)
        if not self.has_masks:
            return Batch(rays, color, None)
        alpha = torch.cat(alphas).float().div_(255)
        return Batch(rays, color * alpha[:, None], alpha)
