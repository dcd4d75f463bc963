"""The layout of a multiresolution hash grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import torch
from torch import Tensor


@dataclass(frozen=True)
class HashGrid:
    """Levels of resolutions ``floor(coarsest b^l)``, the last one ``finest`` (Müller et al. 2022, eq. 2 and 3).

    A level whose vertices all fit into ``2^log2_size`` entries has one for each; the others share theirs by a hash.
    """

    levels: int = 8
    features: int = 4
    log2_size: int = 15
    coarsest: int = 16
    finest: int = 1024

    @cached_property
    def resolutions(self) -> Tensor:  # [L] int32
        growth = (self.finest / self.coarsest) ** (1 / max(1, self.levels - 1))
        # Rounding must not take the last level's resolution down by one.
        steps = [math.floor(self.coarsest * growth**level + 1e-6) for level in range(self.levels)]
        return torch.tensor(steps, dtype=torch.int32)

    @cached_property
    def offsets(self) -> Tensor:  # [L + 1] int32: the first entry of each level, and their number
        sizes = [min((resolution + 1) ** 3, 1 << self.log2_size) for resolution in self.resolutions.tolist()]
        return torch.tensor([0, *accumulate(sizes)], dtype=torch.int32)

    @cached_property
    def entries(self) -> int:
        return int(self.offsets[-1])

    @property
    def width(self) -> int:
        """Features of a point: those of all levels, one after the other."""
        return self.levels * self.features

    def first_table(self, rng: torch.Generator) -> Tensor:
        """Features [entries, features] to begin with, uniform in +-1e-4 (Müller et al. 2022, section 4), on the CPU."""
        return (torch.rand(self.entries, self.features, generator=rng) * 2 - 1) * 1e-4
