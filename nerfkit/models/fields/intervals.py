"""Intervals along rays: the scale on which they lie evenly, random places in it, and the samples that they are."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from nerfkit.contracts import RenderCore, Samples

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
        return torch.minimum(s, 2 - s.clamp_min(1).reciprocal()) if self.disparity else s


def even_edges(ends: Tensor, intervals: int, rng: torch.Generator | None) -> Tensor:
    """Ascending places between ``intervals`` intervals from end to end [H, 2]: [H, intervals + 1]; with ``rng`` at
    random in their strata."""
    if rng is None:
        places = _numbers(intervals + 1, ends.device) / intervals
    else:
        jitter = torch.rand(len(ends), intervals + 1, generator=rng, device=ends.device).sub_(0.5)
        places = jitter.mul_(_WITHIN).add_(_numbers(intervals + 1, ends.device)).div_(intervals).clamp_(0, 1)
    return torch.addcmul(ends[:, :1], places, ends[:, 1:] - ends[:, :1])


def ascending(rays: int, count: int, rng: torch.Generator | None, device: torch.device) -> Tensor:
    """Numbers in [0, 1), one of each of ``count`` strata: [rays, count]; their middles without ``rng``."""
    if rng is None:
        jitter = torch.full((rays, count), 0.5, device=device)
    else:
        jitter = torch.rand(rays, count, generator=rng, device=device)
    return jitter.add_(_numbers(count, device)).div_(count).clamp_max_(_BELOW_ONE)


def between(edges: Tensor, scale: Scale, core: RenderCore, hits: Tensor | None, rays: int) -> Samples:
    """The intervals between edges [H, N + 1] on a scale, on the rays ``hits`` [H] of all ``rays``; the others have
    none. Without ``hits`` there are edges of every ray."""
    samples = core.intervals(edges, scale.half, scale.disparity)
    if hits is None:
        return samples
    counts = torch.zeros(rays + 1, dtype=torch.int32, device=hits.device)
    counts[hits + 1] = edges.shape[1] - 1
    ray_index = hits.to(torch.int32).index_select(0, samples.ray_index)
    return Samples(samples.t_start, samples.t_end, counts.cumsum(0, dtype=torch.int32), ray_index)


@functools.lru_cache(maxsize=64)
def _numbers(count: int, device: torch.device) -> Tensor:
    """0 to count - 1, made once; not to be written to."""
    return torch.arange(count, dtype=torch.float32, device=device)
