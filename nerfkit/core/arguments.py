"""Checks of arguments that every core makes alike."""

from __future__ import annotations

from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core.hash_grid import HashGrid


def check_table(table: Tensor, grid: HashGrid) -> None:
    """Raises ValueError: a hash grid's table of another shape than [entries, features]."""
    if tuple(table.shape) != (grid.entries, grid.features):
        raise ValueError(f"hash_encode: table must be {[grid.entries, grid.features]}, got {list(table.shape)}")


def checked_degree(gaussians: Gaussians, camera: Cameras, degree: int | None) -> int:
    """The SH degree to draw Gaussians with: all that they hold where none is asked for.

    Raises:
        ValueError: a camera that is no single pinhole, or more coefficients than there are.
    """
    if camera.model != "pinhole" or len(camera) != 1:
        raise ValueError(f"rasterize: expected one pinhole camera, got {len(camera)} of model {camera.model}")
    held = gaussians.sh.shape[1]
    if degree is None:
        return int(held**0.5) - 1
    if (degree + 1) ** 2 > held:
        raise ValueError(f"rasterize: SH degree {degree} needs {(degree + 1) ** 2} coefficients, got {held}")
    return degree
