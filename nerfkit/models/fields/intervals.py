"""Intervals along rays: the scale on which they lie evenly, random places in it, and the samples that they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nerfkit.contracts import Samples

_BELOW_ONE = 1 - 2.0**-24
_WITHIN = 0.999  # of its stratum, within which a place may lie: rounding must not make two change places


@dataclass(frozen=True)
class Scale:
    """A scale of distances: even up to ``half``, which is 1; beyond, with ``disparity``, even in their inverse."""

    half: float  # scene units
    disparity: bool  # 2 is infinity then; the scale is as steep on both sides of 1

    def of(self, t: Tensor) -> Tensor:
        """Places on the scale of distances of any shape."""
        s = t / self.half
        return torch.where(s < 1, s, 2 - 1 / s.clamp_min(1)) if self.disparity else s

    def distances(self, s: Tensor) -> Tensor:
        """The inverse of :meth:`of`."""
        if self.disparity:
            s = torch.where(s < 1, s, 1 / (2 - s).clamp_min(1e-6))
        return s * self.half


def even_edges(ends: Tensor, intervals: int, rng: torch.Generator | None) -> Tensor:
    """Ascending places between ``intervals`` intervals from end to end [H, 2]: [H, intervals + 1]; with ``rng`` at
    random in their strata."""
    places = (torch.arange(intervals + 1, device=ends.device) / intervals).expand(len(ends), -1)
    if rng is not None:
        jitter = _WITHIN * (torch.rand(places.shape, generator=rng, device=ends.device) - 0.5)
        places = (places + jitter / intervals).clamp(0, 1)
    return ends[:, :1] + places * (ends[:, 1:] - ends[:, :1])


def ascending(rays: int, count: int, rng: torch.Generator | None, device: torch.device) -> Tensor:
    """Numbers in [0, 1), one of each of ``count`` strata: [rays, count]; their middles without ``rng``."""
    if rng is None:
        jitter = torch.full((rays, count), 0.5, device=device)
    else:
        jitter = torch.rand(rays, count, generator=rng, device=device)
    return ((torch.arange(count, device=device) + jitter) / count).clamp_max(_BELOW_ONE)


def between(t: Tensor, hits: Tensor, rays: int) -> Samples:
    """The intervals between distances [H, N + 1] on the rays ``hits`` [H] of all ``rays``; the others have none."""
    count = t.shape[1] - 1
    counts = torch.zeros(rays + 1, dtype=torch.int32, device=hits.device)
    counts[hits + 1] = count
    return Samples(
        t[:, :-1].reshape(-1), t[:, 1:].reshape(-1), counts.cumsum(0, dtype=torch.int32),
        hits.to(torch.int32).repeat_interleave(count),
    )  # fmt: skip
