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
        """Packs cells [K, G, G, G] bool, by level, z, y and x; G must be a multiple of 8."""
        levels, cells = occupied.shape[:2]
        if cells % 8 or tuple(occupied.shape) != (levels, cells, cells, cells):
            raise ValueError(f"occupancy: cells must be [K, G, G, G], G a multiple of 8; got {list(occupied.shape)}")
        bits = np.packbits(occupied.cpu().numpy().astype(bool), bitorder="little")
        return cls(torch.from_numpy(bits), levels, cells, half)

    def unpack(self) -> Tensor:
        """The cells [K, G, G, G] bool."""
        cells = np.unpackbits(self.bits.cpu().numpy(), bitorder="little").astype(bool)
        return torch.from_numpy(cells).view(self.levels, self.cells, self.cells, self.cells)

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
