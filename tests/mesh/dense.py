"""Volumes of blocks from dense grids and back, to compare with what knows only dense grids."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.core.volume import BLOCK, Volume


def volume_of(
    tsdf: Tensor, origin: Tensor, voxel_size: float, truncation: float, weight: Tensor | None = None,
    color: Tensor | None = None,
) -> Volume:  # fmt: skip
    """A volume of the values of a grid [X, Y, Z], with colours [X, Y, Z, 3]; unknown around it."""
    shape = [-(-n // BLOCK) * BLOCK for n in tsdf.shape]
    whole = tuple(slice(n) for n in tsdf.shape)
    blocks = torch.ones([n // BLOCK for n in shape]).nonzero().int()
    made = Volume.empty(origin, blocks, voxel_size, truncation)
    for values, into in (
        (tsdf, made.tsdf), (torch.ones_like(tsdf) if weight is None else weight, made.weight),
        *((color[..., c], made.color[:, c]) for c in range(3) if color is not None),
        *([] if color is None else [(torch.ones_like(tsdf), made.color[:, 3])]),
    ):  # fmt: skip
        grid = torch.zeros(shape)
        grid[whole] = values
        into.copy_(_cut(grid).to(into.dtype))
    return made


def grid_of(volume: Volume) -> tuple[Tensor, Tensor, Tensor]:
    """tsdf and weight [X, Y, Z] over the box of the volume's blocks, 1 and 0 where there are none, and the grid
    coordinates [3] of the first voxel."""
    low = volume.blocks.amin(0)
    size = ((volume.blocks.amax(0) - low + 1) * BLOCK).tolist()
    at = (volume.voxels() - low * BLOCK).reshape(-1, 3).long().unbind(-1)
    tsdf, weight = torch.ones(size), torch.zeros(size)
    tsdf[at], weight[at] = volume.tsdf.reshape(-1), volume.weight.reshape(-1)
    return tsdf, weight, low * BLOCK


def _cut(grid: Tensor) -> Tensor:
    """[X, Y, Z] → [B, 8, 8, 8]."""
    x, y, z = (n // BLOCK for n in grid.shape)
    blocks = grid.view(x, BLOCK, y, BLOCK, z, BLOCK).permute(0, 2, 4, 1, 3, 5)
    return blocks.reshape(-1, BLOCK, BLOCK, BLOCK)
