"""The truncated signed distance volume that meshes are fused in: blocks of voxels, where the surfaces are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

BLOCK = 8  # NK_BLOCK: voxels along the side of a block
BYTES_PER_BLOCK = BLOCK**3 * 16
_REACH = 1 << 20  # block coordinates lie within this of 0


@dataclass
class BlockMap:
    """Which blocks of a box of X*Y*Z of them the surfaces of depth maps reach: those that a volume needs.

    The centre of voxel (0, 0, 0) of block (0, 0, 0) lies at ``origin``.
    """

    origin: Tensor  # [3] float32, scene frame; on the CPU, wherever the marks are
    voxel_size: float  # scene units
    truncation: float  # scene units
    marks: Tensor  # [X, Y, Z] int32, 1 where a surface is

    @classmethod
    def empty(
        cls,
        origin: Tensor,
        voxels: tuple[int, int, int],
        voxel_size: float,
        truncation: float,
        device: torch.device | str = "cpu",
    ) -> BlockMap:
        """A map of the blocks that hold so many voxels along each axis; none is marked."""
        shape = [math.ceil(n / BLOCK) for n in voxels]
        marks = torch.zeros(shape, dtype=torch.int32, device=device)
        return cls(origin.to("cpu", torch.float32), float(voxel_size), float(truncation), marks)

    def blocks(self) -> Tensor:
        """The marked blocks' coordinates: [B, 3] int32, in order."""
        return self.marks.nonzero().int()


@dataclass
class Volume:
    """B blocks of 8*8*8 voxels in the scene frame, anywhere in an endless grid; z is fastest.

    The centre of voxel (i, j, k) of block b lies at ``origin + voxel_size * (8 * blocks[b] + (i, j, k))``. ``tsdf`` is
    the distance to the surface in units of ``truncation``, positive outside, at most 1; it means something only where
    ``weight > 0``. Colours are averaged over the observations near the surface alone, so they carry a weight of their
    own: a voxel at a silhouette is in free space for some cameras, and those see the background.

    16 bytes a voxel. Colours are rounded to 16-bit floats once for each call of ``tsdf_integrate``: by 0.06 of 255.
    """

    origin: Tensor  # [3] float32, scene frame; on the CPU, wherever the voxels are
    voxel_size: float  # scene units
    truncation: float  # scene units
    blocks: Tensor  # [B, 3] int32, in lexicographic order, none twice
    tsdf: Tensor  # [B, 8, 8, 8] float32
    weight: Tensor  # [B, 8, 8, 8] float32
    color: Tensor  # [B, 4, 8, 8, 8] float16: planes r g b in 0..255 (sRGB), and their weight

    @classmethod
    def empty(cls, origin: Tensor, blocks: Tensor, voxel_size: float, truncation: float) -> Volume:
        """A volume that nothing was integrated into, where ``blocks`` [B, 3] lie.

        Raises:
            ValueError: the blocks are not in lexicographic order, or one is there twice.
        """
        voxels = (len(blocks), BLOCK, BLOCK, BLOCK)
        device = blocks.device
        keys = block_keys(blocks)
        if not bool((keys[1:] > keys[:-1]).all()):
            raise ValueError("volume: blocks must be in lexicographic order, each once")
        return cls(
            origin.to("cpu", torch.float32),
            float(voxel_size),
            float(truncation),
            blocks.contiguous(),
            torch.ones(voxels, device=device),
            torch.zeros(voxels, device=device),
            torch.zeros((len(blocks), 4, BLOCK, BLOCK, BLOCK), dtype=torch.float16, device=device),
        )

    @classmethod
    def of(cls, map: BlockMap) -> Volume:
        """An empty volume of the marked blocks."""
        return cls.empty(map.origin, map.blocks(), map.voxel_size, map.truncation)

    def voxels(self) -> Tensor:
        """Grid coordinates of all voxels: [B, 8, 8, 8, 3] int32."""
        axis = torch.arange(BLOCK, dtype=torch.int32, device=self.blocks.device)
        inner = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
        return self.blocks[:, None, None, None] * BLOCK + inner

    def neighbors(self) -> Tensor:
        """Of each block, where the 27 blocks around and in it are: [B, 27] int32, z fastest, -1 for none."""
        axis = torch.arange(-1, 2, dtype=torch.int32, device=self.blocks.device)
        steps = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(27, 3)
        keys = block_keys(self.blocks)
        found = torch.empty(len(keys), 27, dtype=torch.int32, device=keys.device)
        if not len(keys):
            return found
        for i, step in enumerate(block_keys(steps) - block_keys(torch.zeros_like(steps))):
            wanted = keys + step
            at = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
            found[:, i] = torch.where(keys[at] == wanted, at, -1).int()
        return found


def block_keys(blocks: Tensor) -> Tensor:
    """A number [B] int64 for each block [B, 3], in the same order."""
    x, y, z = (blocks.long() + _REACH).unbind(-1)
    return (x * (2 * _REACH) + y) * (2 * _REACH) + z
