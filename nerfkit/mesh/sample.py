"""Colours between the pixels of pictures and textures, whose pixel centres lie at +0.5."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def bilinear(planes: Tensor, xy: Tensor) -> Tensor:
    """Values [P, C] of a picture [C, H, W] float at pixel coordinates [P, 2]; beyond its border those of the border."""
    size = xy.new_tensor([planes.shape[2], planes.shape[1]])
    grid = (xy * (2 / size) - 1)[None, None]
    found = torch.nn.functional.grid_sample(planes[None], grid, "bilinear", "border", align_corners=False)
    return found[0, :, 0].T


def planes_of(image: np.ndarray | Tensor) -> Tensor:
    """[H, W, C] uint8 to planes [C, H, W] float32, in 0..255."""
    return torch.as_tensor(image).permute(2, 0, 1).float()


def texel_coordinates(uvs: np.ndarray, width: int, height: int) -> np.ndarray:
    """Where texture coordinates [..., 2] (origin at the bottom left) lie in a texture, in texels from its top left."""
    return np.stack([uvs[..., 0] * width, (1 - uvs[..., 1]) * height], -1)


class Pyramid:
    """A texture at full size, half, a quarter…: mip-maps (Williams 1983, "Pyramidal Parametrics")."""

    def __init__(self, texture: np.ndarray) -> None:
        """Args: texture: [H, W, C] uint8."""
        self.levels = [planes_of(texture)]
        while min(self.levels[-1].shape[1:]) > 1:
            self.levels.append(torch.nn.functional.avg_pool2d(self.levels[-1][None], 2)[0])

    def sample(self, xy: Tensor, level: Tensor) -> Tensor:
        """Colours [P, C] at texels [P, 2] of the full size, blended between the two levels around ``level`` [P]."""
        level = level.clamp(0, len(self.levels) - 1)
        out = xy.new_zeros(len(xy), self.levels[0].shape[0])
        for number, planes in enumerate(self.levels):
            share = (1 - (level - number).abs()).clamp_min(0)
            used = (share > 0).nonzero()[:, 0]
            if len(used):
                scale = xy.new_tensor([planes.shape[2], planes.shape[1]])
                scale = scale / xy.new_tensor([self.levels[0].shape[2], self.levels[0].shape[1]])
                out[used] += share[used, None] * bilinear(planes, xy[used] * scale)
        return out
