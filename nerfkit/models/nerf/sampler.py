"""Samples in two passes: evenly along rays, then where the first pass saw something (Mildenhall et al. 2020, 5.2)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Rays, RenderCore
from nerfkit.models.devices import generator_on
from nerfkit.models.fields.draw import Drawn, Field, Room, composite
from nerfkit.models.fields.intervals import Scale, ascending, between, even_edges
from nerfkit.models.fields.space import Space


class CoarseToFine:
    """Draws a coarse field at stratified samples, and the fine one at these and at more by the coarse weights."""

    looks_ahead = False
    usual_distortion = 0.0
    kind_of_step = None

    def __init__(
        self, space: Space, field: Field, core: RenderCore, near: float, coarse: int, fine: int, disparity: bool
    ):
        """Args: field: the coarse one. disparity: samples lie evenly in inverse distance beyond the inner half side."""
        self.space, self.field, self.core, self.near = space, field, core, near
        self.coarse, self.fine, self.scale = coarse, fine, Scale(space.half, disparity)
        self.usual_samples = 2 * coarse + fine

    def draw(
        self, field: Field, rays_local: Rays, rng: torch.Generator | None = None, room: Room | None = None
    ) -> list[Drawn]:
        ranges = self.space.ranges(rays_local, self.near, self.core)
        rng = None if rng is None else generator_on(ranges.device, rng)
        hits = (ranges[:, 1] > ranges[:, 0]).nonzero()[:, 0]
        edges = even_edges(self.scale.of(ranges[hits]), self.coarse, rng)
        samples = between(edges, self.scale, self.core, hits, len(ranges))
        first = composite(self.field, rays_local, samples, self.core)
        weights = first.weights.detach().view(len(hits), self.coarse)
        if len(hits):
            more = self.core.resample(edges, weights, ascending(len(hits), self.fine, rng, edges.device))
            edges = torch.cat([edges, more], 1).sort(1).values
        samples = between(edges, self.scale, self.core, hits, len(ranges))
        second = composite(field, rays_local, samples, self.core)
        return [first, second]

    def after_step(self, field: Field, rng: torch.Generator) -> None:
        """Nothing: both fields learn by what is drawn."""

    def for_surfaces(self, field: Field) -> CoarseToFine:
        """Itself."""
        return self

    def cropped(self, crop: Callable[[Field], Field]) -> CoarseToFine:
        part = copy.copy(self)
        part.field = crop(self.field)
        return part

    def holds(self, xyz_local: Tensor) -> Tensor:
        """All points [P, 3] that rays may reach: [P] bool. Nothing outside a box was ever looked at."""
        if self.space.contracted:
            return torch.ones(len(xyz_local), dtype=torch.bool, device=xyz_local.device)
        return xyz_local.abs().amax(1) <= self.space.half

    @property
    def empty(self) -> bool:
        return False

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing is kept."""
