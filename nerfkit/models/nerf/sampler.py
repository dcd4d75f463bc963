"""Samples in two passes: evenly along rays, then where the first pass saw something (Mildenhall et al. 2020, 5.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Rays, RenderCore, Samples
from nerfkit.models.devices import generator_on
from nerfkit.models.fields.draw import Drawn, Field, composite
from nerfkit.models.fields.space import Space

_BELOW_ONE = 1 - 2.0**-24


class CoarseToFine:
    """Draws a coarse field at stratified samples, and the fine one at these and at more by the coarse weights."""

    looks_ahead = False

    def __init__(
        self, space: Space, field: Field, core: RenderCore, near: float, coarse: int, fine: int, disparity: bool
    ):
        """Args: field: the coarse one. disparity: samples lie evenly in inverse distance beyond the inner half side."""
        self.space, self.field, self.core, self.near = space, field, core, near
        self.coarse, self.fine, self.disparity = coarse, fine, disparity
        self.usual_samples = 2 * coarse + fine

    def draw(self, field: Field, rays_local: Rays, rng: torch.Generator | None = None) -> list[Drawn]:
        ranges = self.space.ranges(rays_local, self.near)
        rng = None if rng is None else generator_on(ranges.device, rng)
        hits = (ranges[:, 1] > ranges[:, 0]).nonzero()[:, 0]
        ends = self._warped(ranges[hits])
        edges = ends[:, :1] + _edges(len(hits), self.coarse, rng, ends.device) * (ends[:, 1:] - ends[:, :1])
        first = composite(self.field, rays_local, self._samples(edges, hits, len(ranges)), self.core)
        weights = first.weights.detach().view(len(hits), self.coarse)
        if len(hits):
            more = self.core.resample(edges, weights, _ascending(len(hits), self.fine, rng, ends.device))
            edges = torch.cat([edges, more], 1).sort(1).values
        second = composite(field, rays_local, self._samples(edges, hits, len(ranges)), self.core)
        return [first, second]

    def _warped(self, t: Tensor) -> Tensor:
        """Distances to where samples lie evenly: linear within the inner half side, then inverse, both as steep."""
        if not self.disparity:
            return t
        t = t / self.space.half
        return torch.where(t < 1, t, 2 - 1 / t.clamp_min(1))

    def _unwarped(self, s: Tensor) -> Tensor:
        if not self.disparity:
            return s
        return torch.where(s < 1, s, 1 / (2 - s).clamp_min(1e-6)) * self.space.half

    def _samples(self, edges: Tensor, hits: Tensor, rays: int) -> Samples:
        """The intervals between edges [H, N + 1] of the rays ``hits`` [H] of all ``rays``; the others have none."""
        t, count = self._unwarped(edges), edges.shape[1] - 1
        counts = torch.zeros(rays + 1, dtype=torch.int32, device=hits.device)
        counts[hits + 1] = count
        return Samples(
            t[:, :-1].reshape(-1), t[:, 1:].reshape(-1), counts.cumsum(0, dtype=torch.int32),
            hits.to(torch.int32).repeat_interleave(count),
        )  # fmt: skip

    def after_step(self, field: Field, rng: torch.Generator) -> None:
        """Nothing: both fields learn by what is drawn."""

    def for_surfaces(self, field: Field) -> CoarseToFine:
        """Itself."""
        return self

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


def _edges(rays: int, intervals: int, rng: torch.Generator | None, device: torch.device) -> Tensor:
    """Ascending places in [0, 1] between ``intervals`` intervals: [rays, intervals + 1]; at random in their strata."""
    places = (torch.arange(intervals + 1, device=device) / intervals).expand(rays, -1)
    if rng is None:
        return places
    jitter = torch.rand(rays, intervals + 1, generator=rng, device=device) - 0.5
    return (places + jitter / intervals).clamp(0, 1).sort(1).values


def _ascending(rays: int, count: int, rng: torch.Generator | None, device: torch.device) -> Tensor:
    """Numbers in [0, 1), one of each of ``count`` strata: [rays, count]; their middles without ``rng``."""
    if rng is None:
        jitter = torch.full((rays, count), 0.5, device=device)
    else:
        jitter = torch.rand(rays, count, generator=rng, device=device)
    return ((torch.arange(count, device=device) + jitter) / count).clamp_max(_BELOW_ONE)
