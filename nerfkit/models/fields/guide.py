"""A small density field that only tells where along a ray it is worth looking."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Rays, RenderCore
from nerfkit.core.hash_grid import HashGrid
from nerfkit.models.fields.networks import HashNetwork, exp_density
from nerfkit.models.fields.space import Space

_LEVELS, _FEATURES, _WIDTH = 5, 2, 16
_COARSEST = 16


class GuideField:
    """A coarse hash grid and a network of one small layer; it has no colours."""

    cones = False

    def __init__(
        self, space: Space, core: RenderCore, log2_size: int, finest: int, rng: torch.Generator,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        """Args: log2_size: entries of a level, as a power of two. finest: cells along the last level's side."""
        self.space, self.core = space, core
        grid = HashGrid(_LEVELS, _FEATURES, log2_size, _COARSEST, finest)
        self.network = HashNetwork(space, core, grid, (_WIDTH, 1), rng, device)
        self.params = self.network.params
        self.sample_bytes = 4 * (2 * grid.width + 3)

    def density(self, xyz_local: Tensor, variance: Tensor | None = None) -> Tensor:
        return exp_density(self.network(xyz_local), self.space, self.core)

    def shade(
        self, xyz_local: Tensor, rays: Rays, ray_index: Tensor, variance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Black."""
        return self.density(xyz_local), torch.zeros_like(xyz_local)
