"""Gaussians a block at a time, and the bounds of what a file can hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError

BLOCK = 1 << 14  # Gaussians at a time: a few MB
FEWEST_BYTES = 2  # that any real file spends on a Gaussian: a count above that is a lie, or a bomb
SLACK = 1 << 14  # Gaussians that a file may have whatever its size


def blocks(count: int, size: int = BLOCK) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def check_count(path: Path, count: int, file_bytes: int) -> None:
    """Raises NerfkitError: a file of that size cannot hold so many Gaussians."""
    if count > file_bytes // FEWEST_BYTES + SLACK:
        raise NerfkitError(
            f"{path}: says that it holds {count:,} Gaussians, which {file_bytes:,} bytes can't; it is damaged"
        )


def check_size(path: Path, needed: int, available: int) -> None:
    """Raises NerfkitError: the file ends before its data do."""
    if available < needed:
        raise NerfkitError(f"{path}: is truncated: {needed:,} bytes are needed, {available:,} are there; load it again")


def select(gaussians: Gaussians, rows: Tensor | slice) -> Gaussians:
    """The Gaussians of some rows: indices, booleans or a slice."""
    g = gaussians
    return Gaussians(g.means[rows], g.quats[rows], g.scales[rows], g.opacities[rows], g.sh[rows], g.antialiased)


def degree_of(gaussians: Gaussians) -> int:
    """The SH degree, 0 to 3 (K = (degree + 1)^2 coefficients)."""
    return {1: 0, 4: 1, 9: 2, 16: 3}[gaussians.sh.shape[1]]
