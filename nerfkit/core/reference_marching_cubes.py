"""Marching cubes over a volume's blocks in plain PyTorch: the definition that the kernels are tested against."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.core import cubes
from nerfkit.core.volume import BLOCK, Volume

_END_OF_EDGE = 1e-3  # no vertex lies nearer to a voxel, as a share of an edge: faces keep an area


def marching_cubes(volume: Volume, min_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """The zero level of a volume (Lorensen & Cline 1987, with the table of :mod:`nerfkit.core.cubes`).

    A cube of eight voxels is meshed only where all eight have ``weight >= min_weight``. Vertices lie on the edges of
    the grid, where distances interpolated along them are zero, and are shared by all cubes around, also across the
    borders of blocks. Colours are interpolated along the edge too, from ends that have one.

    Returns:
        vertices [P, 3] float32 in the scene frame, in the order of their blocks, axes and voxels; faces [F, 3] int32 in
        the order of their cubes, counter-clockwise seen from the positive side, outside; colours [P, 3] uint8.
    """
    device = volume.tsdf.device
    tsdf, weight = volume.tsdf.reshape(-1), volume.weight.reshape(-1)
    neighbors = volume.neighbors()
    corners = [neighbor_voxels(neighbors, c >> 2, c >> 1 & 1, c & 1) for c in range(8)]  # [B * 512] each
    whole = torch.ones_like(tsdf, dtype=torch.bool)
    signs = torch.zeros_like(tsdf, dtype=torch.int64)
    for c, voxels in enumerate(corners):
        there = voxels.clamp_min(0)
        whole &= (voxels >= 0) & (weight[there] >= min_weight)
        signs += (tsdf[there] < 0) * (1 << c)
    table = cubes.triangles().to(device).long()
    rows = table[torch.where(whole, signs, 0)]  # [cubes, 16]
    used = torch.arange(5, device=device) < rows[:, :1]
    cube = torch.arange(len(rows), device=device)[:, None].expand(-1, 5)[used]  # [F] of each triangle
    edges = rows[:, 1:].reshape(-1, 5, 3)[used]  # [F, 3]
    owners = torch.stack([corners[cubes.corner(edge, 0)] for edge in range(12)], -1)  # [cubes, 12]
    voxel, axis = owners[cube[:, None], edges], edges // 4
    keys = (voxel // BLOCK**3 * 3 + axis) * BLOCK**3 + voxel % BLOCK**3  # by block, axis, voxel
    keys, faces = keys.unique(return_inverse=True)
    vertices, colors = _on_edges(volume, neighbors, keys)
    return vertices, faces.int(), colors


def neighbor_voxels(neighbors: Tensor, dx: int, dy: int, dz: int) -> Tensor:
    """Of all voxels, the one (dx, dy, dz) further, each 0 or 1: [B * 512] int64 by their number, -1 for none."""
    axis = torch.arange(BLOCK, device=neighbors.device)
    x, y, z = (axis + dx)[:, None, None], (axis + dy)[:, None], axis + dz
    block = neighbors.long()[:, (13 + x // BLOCK * 9 + y // BLOCK * 3 + z // BLOCK)]  # [B, 8, 8, 8]
    inner = (x % BLOCK * BLOCK + y % BLOCK) * BLOCK + z % BLOCK
    return torch.where(block < 0, -1, block * BLOCK**3 + inner).reshape(-1)


def _on_edges(volume: Volume, neighbors: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Vertices [P, 3] and their colours on edges, by their keys."""
    axis, start = keys // BLOCK**3 % 3, keys // (3 * BLOCK**3) * BLOCK**3 + keys % BLOCK**3
    ends = torch.stack([neighbor_voxels(neighbors, *(int(k == i) for k in range(3))) for i in range(3)], -1)
    end = ends[start, axis]
    a, b = volume.tsdf.reshape(-1)[start], volume.tsdf.reshape(-1)[end]
    t = (a / (a - b)).clamp(_END_OF_EDGE, 1 - _END_OF_EDGE)  # [P]
    place = volume.voxels().reshape(-1, 3)[start] + t[:, None] * torch.nn.functional.one_hot(axis, 3)
    color = volume.color.float().movedim(1, -1).reshape(-1, 4)
    share_a, share_b = (1 - t) * (color[start, 3] > 0), t * (color[end, 3] > 0)
    mixed = share_a[:, None] * color[start, :3] + share_b[:, None] * color[end, :3]
    mixed = mixed / (share_a + share_b).clamp_min(1e-12)[:, None]
    vertices = volume.origin.to(place.device) + volume.voxel_size * place
    return vertices, (mixed + 0.5).clamp_max(255).to(torch.uint8)
