"""TSDF volume → triangles, by marching cubes."""

from __future__ import annotations

import numpy as np
import torch

from nerfkit.contracts import Mesh
from nerfkit.core.volume import Volume
from nerfkit.errors import NerfkitError
from nerfkit.mesh.requirements import require


def marching_cubes(volume: Volume, min_weight: float = 0.5) -> Mesh:
    """The zero level of the volume, in the volume's frame (Lewiner et al. 2003, by scikit-image).

    A cube of eight voxels is meshed only where all eight have ``weight >= min_weight``; colours are interpolated
    between them; faces are counter-clockwise seen from the positive side, outside.

    Raises:
        NerfkitError: there is no surface in the volume.
    """
    measure = require("skimage.measure")
    tsdf = volume.tsdf.cpu().numpy()
    cubes = _whole_cubes(volume.weight.cpu().numpy() >= min_weight)
    if min(tsdf.shape) < 2 or not _crosses_zero(tsdf, cubes):
        raise NerfkitError("no surface to mesh: the views show nothing opaque inside the bounds; train longer, "
                           "lower the minimum alpha or give other bounds")  # fmt: skip
    # scikit-image looks at the mask at a cube's last corner; "descent" turns faces towards larger values
    mask = np.zeros(tsdf.shape, bool)
    mask[1:, 1:, 1:] = cubes
    grid, faces, _, _ = measure.marching_cubes(tsdf, 0.0, gradient_direction="descent", mask=mask)
    vertices = volume.origin.cpu().numpy().astype(np.float64) + volume.voxel_size * grid.astype(np.float64)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), sample_color(volume, grid))


def sample_color(volume: Volume, grid: np.ndarray) -> np.ndarray:
    """Colours [V, 3] uint8 at grid coordinates [V, 3] inside the volume: trilinear, voxels without colour left out."""
    color = volume.color.cpu()
    x = torch.from_numpy(np.ascontiguousarray(grid)).float()
    size = torch.tensor(volume.shape)
    low = torch.minimum(x.floor().long().clamp_min(0), size - 2)
    fraction = x - low
    total = torch.zeros(len(x), 4)
    for corner in range(8):
        offset = torch.tensor([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
        w = torch.where(offset.bool(), fraction, 1 - fraction).prod(1)  # [V]
        index = low + offset
        value = color[index[:, 0], index[:, 1], index[:, 2]]  # [V, 4]
        w = w * (value[:, 3] > 0)
        total += torch.cat([value[:, :3] * w[:, None], w[:, None]], 1)
    rgb = total[:, :3] / total[:, 3:].clamp_min(1e-12)
    colors: np.ndarray = rgb.round().clamp(0, 255).to(torch.uint8).numpy()
    return colors


def _whole_cubes(known: np.ndarray) -> np.ndarray:
    """Which cubes have eight known corners: [X - 1, Y - 1, Z - 1] bool."""
    cubes: np.ndarray = known[1:] & known[:-1]
    cubes = cubes[:, 1:] & cubes[:, :-1]
    cubes = cubes[:, :, 1:] & cubes[:, :, :-1]
    return cubes


def _crosses_zero(tsdf: np.ndarray, cubes: np.ndarray) -> bool:
    below = tsdf < 0
    inside = _whole_cubes(below)
    outside = _whole_cubes(~below)
    return bool((cubes & ~inside & ~outside).any())
