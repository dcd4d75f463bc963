"""A small density field that only tells where along a ray it is worth looking."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Rays, RenderCore
from nerfkit.core.hash_grid import HashGrid
from nerfkit.models.fields.networks import exp_density, uniform_weights
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
        self.grid = HashGrid(_LEVELS, _FEATURES, log2_size, _COARSEST, finest)
        self.widths = (self.grid.width, _WIDTH, 1)
        self.sample_bytes = 4 * (2 * self.grid.width + 3)
        self.params = {
            "table": self.grid.first_table(rng).to(device).requires_grad_(),
            "density": uniform_weights(self.widths, rng).to(device).requires_grad_(),
        }

    def density(self, xyz_local: Tensor, variance: Tensor | None = None) -> Tensor:
        features = self.core.hash_encode(self.space.to_unit(xyz_local), self.params["table"], self.grid)
        raw = self.core.mlp(features, self.params["density"], self.widths)
        return exp_density(raw[:, 0], self.space)

    def shade(
        self, xyz_local: Tensor, rays: Rays, ray_index: Tensor, variance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Black."""
        return self.density(xyz_local), torch.zeros_like(xyz_local)
