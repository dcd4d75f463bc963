"""Photos on a GPU, where they stay as long as they fit into their share of its memory.

Here, and nowhere else, is decided how much that is. On the CPU photos stay in the scene's own cache
(:class:`nerfkit.data.images.PhotoCache`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit.data.images import Photo, PhotoCache
from nerfkit.machine import available_memory

if TYPE_CHECKING:
    from nerfkit.data.view import PhotoView

_OF_THE_CPU = 1 << 30
_SHARE = 4  # of what is free on a GPU goes to photos, in whatever form a model keeps them


def room_for_photos(device: torch.device) -> int:
    """Bytes that what a model keeps of the photos may take on a device."""
    return available_memory(str(device)) // _SHARE if device.type == "cuda" else _OF_THE_CPU


class ResidentPhotos:
    """Whole photos on a device."""

    def __init__(self, device: torch.device):
        self.device = device
        self._cache = PhotoCache(room_for_photos(device) // _SHARE)

    def get(self, view: PhotoView) -> Photo:
        """Image [H, W, 3] uint8 and mask [H, W] uint8, or None without one. Not to be written to."""
        if self.device.type == "cpu":
            return view.image(), view.mask()
        return self._cache.get(view.name, lambda: self._sent(view))

    def _sent(self, view: PhotoView) -> Photo:
        mask = view.mask()
        return view.image().to(self.device), None if mask is None else mask.to(self.device)


class ResidentPixels:
    """The pixels of photos side by side on a device, from where single ones are picked."""

    def __init__(self, views: Sequence[PhotoView], with_masks: bool, device: torch.device):
        sizes = [(view.camera.width, view.camera.height) for view in views]
        counts = torch.tensor([width * height for width, height in sizes])
        self.widths = torch.tensor([width for width, _ in sizes], device=device)
        self.counts = counts.to(device)
        self.starts = (counts.cumsum(0) - counts).to(device)
        total = int(counts.sum())
        self.colors = torch.empty(total, 3, dtype=torch.uint8, device=device)
        self.alphas = torch.full((total,), 255, dtype=torch.uint8, device=device) if with_masks else None
        start = 0
        for view, count in zip(views, counts.tolist(), strict=True):
            self.colors[start : start + count] = view.image().view(-1, 3).to(device)
            mask = view.mask() if self.alphas is not None else None
            if self.alphas is not None and mask is not None:
                self.alphas[start : start + count] = mask.view(-1).to(device)
            start += count

    @staticmethod
    def fit(views: Sequence[PhotoView], with_masks: bool, device: torch.device) -> bool:
        """Whether the photos' pixels fit into the memory that photos may take on the device."""
        pixels = sum(view.camera.width * view.camera.height for view in views)
        return pixels * (4 if with_masks else 3) <= room_for_photos(device)

    def draw(
        self, places: Tensor, of_each: int, rng: torch.Generator, tries: int = 1
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Random pixels of photos [P], as many of each: their places [P * of_each, 2] in pixels, centres at +0.5,
        colours [P * of_each, 3] uint8, and alphas [P * of_each] uint8, if there are masks.

        Args:
            tries: pixels of which each is the first that isn't hidden; 1: whatever it is.
        """
        device = self.colors.device
        # A remainder of so large a number is as good as evenly distributed.
        random = torch.randint(1 << 62, (len(places), of_each, tries), generator=rng, device=device)
        flat = random % self.counts[places][:, None, None]
        starts = self.starts[places][:, None]
        flat = first_shown(flat, None if self.alphas is None else self.alphas[starts[..., None] + flat])
        width = self.widths[places][:, None]
        pixels = torch.stack([flat % width, flat // width], -1).view(-1, 2) + 0.5
        index = (starts + flat).view(-1)
        return pixels, self.colors[index], None if self.alphas is None else self.alphas[index]


def first_shown(pixels: Tensor, alphas: Tensor | None) -> Tensor:
    """Of each row of pixels [..., N] the first whose alpha [..., N] isn't 0, or its first if all are hidden: [...].

    Without asking how many are hidden, for which a GPU would be waited for.
    """
    if alphas is None or pixels.shape[-1] == 1:
        return pixels[..., 0]
    return pixels.gather(-1, (alphas > 0).byte().argmax(-1, keepdim=True))[..., 0]
