"""Samples for depth alone: through what is solid."""

from __future__ import annotations

import copy

import torch

from nerfkit.contracts import Rays
from nerfkit.core.occupancy import Occupancy
from nerfkit.models.fields.draw import Drawn, Field, Room
from nerfkit.models.fields.marcher import Marcher
from nerfkit.models.fields.rounds import in_rounds

_DARK = 0.02  # no surface is expected behind


class SurfaceMarcher(Marcher):
    """Draws what is solid, without colours; not for training."""

    def __init__(self, marcher: Marcher, solid: Occupancy):
        self.__dict__.update(marcher.__dict__)
        self.occupied = copy.copy(marcher.occupied)
        self.occupied.grid = solid

    @torch.no_grad()
    def draw(
        self, field: Field, rays_local: Rays, rng: torch.Generator | None = None, room: Room | None = None
    ) -> list[Drawn]:
        """Black rays."""
        samples, alphas = in_rounds(self, field, rays_local, _DARK)
        _, transmittance, weights = self.core.composite(alphas, alphas[:, None], samples.offsets)
        return [Drawn(torch.zeros_like(rays_local.origins), transmittance, weights, samples, len(alphas))]

    def for_surfaces(self, field: Field) -> Marcher:
        return self
