"""The truncated signed distance volume that meshes are fused in."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Volume:
    """A dense grid of X*Y*Z voxels in the scene frame, z fastest.

    The centre of voxel ``(i, j, k)`` lies at ``origin + voxel_size * (i, j, k)``. ``tsdf`` is the distance to
    the surface in units of ``truncation``, positive outside, clamped to [-1, 1]; it means something only where
    ``weight > 0``. Colours are averaged over the observations near the surface alone, so they carry a weight of
    their own: a voxel at a silhouette is in free space for some cameras, and those see the background.
    """

    origin: Tensor  # [3] float32, centre of voxel (0, 0, 0), scene frame; on the CPU, wherever the voxels are
    voxel_size: float  # scene units
    truncation: float  # scene units
    tsdf: Tensor  # [X, Y, Z] float32
    weight: Tensor  # [X, Y, Z] float32
    color: Tensor  # [X, Y, Z, 4] float32: r g b in 0..255 (sRGB), and their weight

    @classmethod
    def empty(
        cls,
        origin: Tensor,
        shape: tuple[int, int, int],
        voxel_size: float,
        truncation: float,
        device: torch.device | str = "cpu",
    ) -> Volume:
        """A volume that nothing was integrated into: 24 bytes a voxel on the device."""
        return cls(
            origin.to("cpu", torch.float32),
            float(voxel_size),
            float(truncation),
            torch.ones(shape, device=device),
            torch.zeros(shape, device=device),
            torch.zeros(*shape, 4, device=device),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.tsdf.shape
        return x, y, z
