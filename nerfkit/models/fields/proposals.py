"""Samples where small fields propose to look (Barron et al. 2022, Mip-NeRF 360, section 3)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Rays, RenderCore
from nerfkit.core.occupancy import Occupancy
from nerfkit.models.devices import generator_on
from nerfkit.models.fields.draw import Drawn, Field, composite, opacity, places
from nerfkit.models.fields.intervals import Scale, ascending, between, even_edges
from nerfkit.models.fields.space import Space

_FIRST_STEPS = 64  # of a training, in each of which the guides learn; what they guide changes fast then…
_LEARN_EVERY = 4  # …and later, in every so many steps
_PADDING = 0.01  # added to every weight: a guide that is wrong finds out


class Proposals:
    """Draws a field at few samples of each ray, which guides, from coarse to fine, lead to where it has weight."""

    looks_ahead = True
    usual_distortion = 3e-3

    def __init__(
        self, space: Space, possible: Tensor, guides: Sequence[Field], core: RenderCore, near: float,
        counts: Sequence[int],
    ):  # fmt: skip
        """Args:
        possible: [K, G, G, G] bool, cells that a camera may have seen: nothing is known of what others hold.
        guides: are looked at one after the other; they learn where the field that is drawn has its weights.
        counts: samples of a ray, of each guide and of the field.
        """
        self.space, self.guides, self.core, self.near = space, list(guides), core, near
        self.counts, self.usual_samples = tuple(counts), counts[-1]
        self.scale = Scale(space.half, space.contracted)
        self.grid = Occupancy.pack(possible, space.half)
        self.count = 0  # training steps

    def draw(self, field: Field, rays_local: Rays, rng: torch.Generator | None = None) -> list[Drawn]:
        learning = rng is not None and (self.count < _FIRST_STEPS or self.count % _LEARN_EVERY == 0)
        ranges = self.space.ranges(rays_local, self.near)
        device, rays = ranges.device, len(ranges)
        rng = None if rng is None else generator_on(device, rng)
        hits = (ranges[:, 1] > ranges[:, 0]).nonzero()[:, 0]
        edges = even_edges(self.scale.of(ranges[hits]), self.counts[0], rng)
        proposed: list[tuple[Tensor, Tensor]] = []
        with torch.set_grad_enabled(learning and torch.is_grad_enabled()):
            for guide, count in zip(self.guides, self.counts[1:], strict=True):
                weights = self._weights(guide, rays_local, edges, hits)
                proposed.append((edges, weights))
                if len(hits):
                    u = ascending(len(hits), count + 1, rng, device)
                    edges = self.core.resample(edges, weights.detach() + _PADDING, u)
                else:
                    edges = edges[:, : count + 1]
        samples = between(self.scale.distances(edges), hits, rays)
        looked_at = len(hits) * sum(self.counts[:-1])
        drawn = composite(field, rays_local, samples, self.core, looked_at, self.space.learnt_whole_from)
        if learning and len(hits):
            weights = drawn.weights.detach().view(len(hits), -1)
            misses = [missed(*of_guide, edges, weights).mean() for of_guide in proposed]
            drawn.losses["proposals"] = torch.stack(misses).sum()
        return [drawn]

    def _weights(self, guide: Field, rays_local: Rays, edges: Tensor, hits: Tensor) -> Tensor:
        """What a guide sees in the intervals between ``edges`` [H, N + 1]: [H, N]."""
        samples = between(self.scale.distances(edges), hits, len(rays_local.origins))
        alphas = opacity(guide.density(*places(guide, rays_local, samples)), samples)
        _, _, weights = self.core.composite(alphas, torch.zeros_like(alphas)[:, None], samples.offsets)
        return weights.view(len(hits), edges.shape[1] - 1)

    def after_step(self, field: Field, rng: torch.Generator) -> None:
        self.count += 1

    def for_surfaces(self, field: Field) -> Proposals:
        """Itself: it passes by what is empty as it is."""
        return self

    def cropped(self, crop: Callable[[Field], Field]) -> Proposals:
        part = copy.copy(self)
        part.guides = [crop(guide) for guide in self.guides]
        return part

    def holds(self, xyz_local: Tensor) -> Tensor:
        """Whether a camera may have seen points [P, 3]: [P] bool."""
        return self.grid.holds(xyz_local)

    @property
    def empty(self) -> bool:
        return False

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count = int(state["count"])


def missed(edges: Tensor, proposed: Tensor, finer: Tensor, weights: Tensor) -> Tensor:
    """What weights are more than proposed ones allow (Barron et al. 2022, eq. 13): [R].

    The weight of an interval can't be more than that of all proposed ones that overlap it; a guide that proposes too
    much loses nothing by it, but its weights add up to no more than 1. Differentiable in ``proposed`` alone.

    Args:
        edges: [R, N + 1] ascending, between the intervals of ``proposed`` [R, N].
        finer: [R, M + 1] ascending, between those of ``weights`` [R, M].
    """
    running = torch.nn.functional.pad(proposed.cumsum(1), (1, 0))  # [R, N + 1], before each edge
    last = proposed.shape[1]
    begin = (torch.searchsorted(edges, finer[:, :-1].contiguous(), right=True) - 1).clamp(0, last)
    end = torch.searchsorted(edges, finer[:, 1:].contiguous()).clamp(0, last)
    allowed = running.gather(1, end) - running.gather(1, begin)
    return ((weights - allowed).clamp_min(0) ** 2 / (weights + 1e-7)).sum(1)
