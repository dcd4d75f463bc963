"""Where in space there is anything: the grid that ray marching skips by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Occupancy:
    """Cascades of cells: level k divides the cube ``[-half 2^k, half 2^k]^3`` into ``cells^3`` cells."""

    bits: Tensor  # [K G^3 / 8] uint8: bit x of cell (k, z, y, x), the lowest first
    levels: int
    cells: int
    half: float  # scene units

    @classmethod
    def pack(cls, occupied: Tensor, half: float) -> Occupancy:
        """Packs cells [K, G, G, G] bool, by level, z, y and x, where they lie; G must be a multiple of 8."""
        levels, cells = occupied.shape[:2]
        if cells % 8 or tuple(occupied.shape) != (levels, cells, cells, cells):
            raise ValueError(f"occupancy: cells must be [K, G, G, G], G a multiple of 8; got {list(occupied.shape)}")
        if occupied.is_cpu:
            bits = torch.from_numpy(np.packbits(occupied.numpy().astype(bool), bitorder="little"))
        else:
            places = torch.arange(8, dtype=torch.uint8, device=occupied.device)
            bits = (occupied.reshape(-1, 8).to(torch.uint8) << places).sum(1, dtype=torch.uint8)
        return cls(bits, levels, cells, half)

    def unpack(self) -> Tensor:
        """The cells [K, G, G, G] bool."""
        if self.bits.is_cpu:
            cells = torch.from_numpy(np.unpackbits(self.bits.numpy(), bitorder="little").astype(bool))
        else:
            places = torch.arange(8, dtype=torch.uint8, device=self.bits.device)
            cells = (self.bits[:, None] >> places & 1).bool()
        return cells.view(self.levels, self.cells, self.cells, self.cells)

    def holds(self, xyz: Tensor) -> Tensor:
        """Whether points [P, 3] lie in an occupied cell of the finest level around them: [P] bool."""
        level = (xyz.abs().amax(1) / self.half).clamp_min(1e-30).log2().ceil().long().clamp_min(0)
        inside = level < self.levels
        level = level.clamp_max(self.levels - 1)
        half = self.half * 2.0 ** level[:, None]
        index = ((xyz / half / 2 + 0.5) * self.cells).long().clamp(0, self.cells - 1)
        return self.unpack()[level, index[:, 2], index[:, 1], index[:, 0]] & inside

    @property
    def outer_half(self) -> float:
        """Half the side of the outermost cube."""
        return self.half * 2 ** (self.levels - 1)


@dataclass(frozen=True)
class Steps:
    """How far apart samples are: ``cone`` times the distance, within bounds, in scene units."""

    least: float
    most: float
    cone: float = 0.0
    most_samples: int = 1024  # of a ray
