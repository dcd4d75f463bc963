"""The multiresolution hash encoding in plain PyTorch: the definition that the kernels are tested against.

Müller, Evans, Schied and Keller, "Instant Neural Graphics Primitives with a Multiresolution Hash Encoding", 2022,
section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.core.hash_grid import HashGrid

_PRIMES = (1, 2654435761, 805459861)  # ibid., eq. 4


def hash_encode(positions: Tensor, table: Tensor, grid: HashGrid) -> Tensor:
    """Features [S, L F] of positions [S, 3] from a table [P, F]; differentiable in both.

    On each level the point lies in a cell of the grid over [0, 1] (what lies outside is moved to the border), and
    its feature is trilinearly interpolated between the entries of the cell's eight vertices.
    """
    features = []
    for level, resolution in enumerate(grid.resolutions.tolist()):
        first, end = grid.offsets[level : level + 2].tolist()
        scaled = positions.clamp(0, 1) * resolution
        cell = scaled.detach().floor().long().clamp_max(resolution - 1)  # [S, 3]
        along = scaled - cell
        total = table.new_zeros(len(positions), grid.features)
        for vertex in range(8):
            offset = cell.new_tensor([vertex & 1, vertex >> 1 & 1, vertex >> 2])
            weight = torch.where(offset.bool(), along, 1 - along).prod(1)
            total = total + weight[:, None] * table[first + _entry(cell + offset, resolution, end - first)]
        features.append(total)
    return torch.cat(features, 1)


def _entry(vertices: Tensor, resolution: int, size: int) -> Tensor:
    """The entry [S] within its level of vertices [S, 3]."""
    x, y, z = vertices.unbind(1)
    if (resolution + 1) ** 3 <= size:
        return x + (resolution + 1) * (y + (resolution + 1) * z)
    return (x ^ (y * _PRIMES[1]) ^ (z * _PRIMES[2])) % size
