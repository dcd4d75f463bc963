"""Gaussians filled and read block by block, so that a file of any size needs little beside its result."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError

log = logging.getLogger("nerfkit")

BLOCK = 1 << 16  # Gaussians at a time
FEWEST_BYTES = 2  # that any real file spends on a Gaussian: a count above that is a lie, or a bomb
SLACK = 1 << 14  # Gaussians that a file may have whatever its size
_SMALLEST_SCALE = 1e-20  # so that scales stay above zero in float32


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


class Filling:
    """Room for N Gaussians of an SH degree, filled by slices of rows."""

    def __init__(self, count: int, degree: int):
        self.count, self.degree = count, degree
        self.means = torch.empty(count, 3)
        self.quats = torch.empty(count, 4)
        self.scales = torch.empty(count, 3)
        self.opacities = torch.empty(count)
        self.sh = torch.zeros(count, (degree + 1) ** 2, 3)

    def finish(self, path: Path) -> Gaussians:
        """The Gaussians, without those that cannot be drawn: not finite, or without an orientation.

        Raises:
            NerfkitError: none is left.
        """
        sound = torch.empty(self.count, dtype=torch.bool)
        for rows in blocks(self.count):
            self.scales[rows].clamp_min_(_SMALLEST_SCALE)
            sound[rows] = self._sound(rows)
        made = Gaussians(self.means, self.quats, self.scales, self.opacities, self.sh)
        bad = self.count - int(sound.sum())
        if bad == 0:
            return made
        if bad == self.count:
            raise NerfkitError(f"{path}: none of its {bad:,} Gaussians has finite values; it is damaged")
        log.warning("%s: %d of %d Gaussians have values that are not finite, and are left out", path, bad, self.count)
        return select(made, sound)

    def _sound(self, rows: slice) -> Tensor:
        parts = (self.means, self.quats, self.scales, self.opacities[:, None], self.sh.flatten(1))
        finite = torch.stack([part[rows].isfinite().all(1) for part in parts]).all(0)
        return finite & (self.quats[rows].abs().amax(1) > 0)


def select(gaussians: Gaussians, rows: Tensor | slice) -> Gaussians:
    """The Gaussians of some rows: indices, booleans or a slice."""
    g = gaussians
    return Gaussians(g.means[rows], g.quats[rows], g.scales[rows], g.opacities[rows], g.sh[rows])


def degree_of(gaussians: Gaussians) -> int:
    """The SH degree, 0 to 3 (K = (degree + 1)^2 coefficients)."""
    return {1: 0, 4: 1, 9: 2, 16: 3}[gaussians.sh.shape[1]]
