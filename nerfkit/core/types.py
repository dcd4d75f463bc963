"""What the core's operators take and give, whatever the backend."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Layers = Literal["rgb", "rgb+depth", "rgb+depth+normal"]
Output = Literal["linear", "relu", "exp", "sigmoid"]  # what follows a small network's last layer
_SEEN = 1e-3  # alpha of a pixel that shows something
CHANNELS: dict[Layers, int] = {"rgb": 3, "rgb+depth": 4, "rgb+depth+normal": 7}


@dataclass(frozen=True)
class Rasterized:
    """A drawn view as planes. Depth and normal are sums weighted by opacity: divide by alpha."""

    image: Tensor  # [C, H, W]: rgb, depth, normal
    alpha: Tensor  # [H, W]
    median_depth: Tensor | None = None  # [H, W] mean of the middle half of the light; 0 where less than half is gone
    visible: int = 0  # splats in view
    instances: int = 0  # (splat, tile) pairs
    in_view: Tensor | None = None  # [N] not zero for the Gaussians that were drawn

    @functools.cached_property
    def _layers(self) -> Sequence[Tensor]:
        """Taken apart once, so that their gradients are put together once, not each added to an image of zeros."""
        return [self.image] if len(self.image) == 3 else self.image.split({4: [3, 1], 7: [3, 1, 3]}[len(self.image)])

    @property
    def rgb(self) -> Tensor:
        """[3, H, W]"""
        return self._layers[0]

    @property
    def depth(self) -> Tensor:
        """[H, W]"""
        return self._layers[1][0]

    @property
    def normal(self) -> Tensor:
        """[3, H, W] in the scene frame."""
        return self._layers[2]

    def mean_depth(self) -> Tensor:
        """[H, W] of what is seen; 0 where nothing is."""
        return torch.where(self.alpha > _SEEN, self.depth / self.alpha.clamp_min(_SEEN), 0)


@dataclass
class SplatStats:
    """Running statistics of each Gaussian, gathered by the backward pass of ``rasterize``."""

    grad_sum: Tensor  # [N] lengths of absolute screen-space position gradients, in units of half the image
    count: Tensor  # [N] views in which it was drawn

    @classmethod
    def zeros(cls, count: int, device: torch.device | str = "cpu") -> SplatStats:
        return cls(*(torch.zeros(count, device=device) for _ in range(2)))

    def add(self, absolute: Tensor, visible: Tensor, width: int, height: int) -> None:
        """One view: the means' absolute gradients [N, 2], by pixels, and which splats [N] were drawn."""
        pull = (absolute * absolute.new_tensor([width / 2, height / 2])).norm(dim=1)
        self.grad_sum += torch.where(visible, pull, 0).to(self.grad_sum)
        self.count += visible.to(self.count)


@dataclass(frozen=True)
class PhotoStep:
    """What a photo asks of Gaussians."""

    loss: Tensor  # []
    gradients: dict[str, Tensor]  # of the loss, by the names of the Gaussians' arrays, in their shapes
    in_view: Tensor  # [N] not zero for the Gaussians that were drawn


@dataclass(frozen=True)
class Target:
    """A photo to compare with: planes, and the blurred moments that SSIM needs of it."""

    planes: Tensor  # [3, H, W]
    mean: Tensor  # [3, H, W]
    mean_square: Tensor  # [3, H, W]


@dataclass(frozen=True)
class FacePixels:
    """The nearest face of a triangle mesh at every pixel of a picture (or texel of a texture)."""

    face: Tensor  # [H, W] int32; -1 where there is none
    barycentrics: Tensor  # [H, W, 3] float32 of the point on the face; 0 where there is none
    depth: Tensor  # [H, W] float32; 0 where there is none
