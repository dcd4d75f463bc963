"""Samples where small fields propose to look (Barron et al. 2022, Mip-NeRF 360, section 3)."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Rays, RenderCore
from nerfkit.core.occupancy import Occupancy
from nerfkit.models.devices import generator_on
from nerfkit.models.fields.draw import Drawn, Field, Room, composite, opacities
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

    @property
    def kind_of_step(self) -> str | None:
        if not self.space.contracted:
            return None
        return "learning" if self._is_learning() else "led"

    def _is_learning(self) -> bool:
        return self.count < _FIRST_STEPS or self.count % _LEARN_EVERY == 0

    def draw(
        self, field: Field, rays_local: Rays, rng: torch.Generator | None = None, room: Room | None = None
    ) -> list[Drawn]:
        learning = rng is not None and self._is_learning()
        ranges = self.space.ranges(rays_local, self.near, self.core)
        device, rays = ranges.device, len(ranges)
        rng = None if rng is None else generator_on(device, rng)
        # Where space has no end hardly a ray misses it, and a GPU would be waited for to tell which: their samples have
        # no length.
        hits = None if self.space.contracted else (ranges[:, 1] > ranges[:, 0]).nonzero()[:, 0]
        edges = even_edges(self.scale.of(ranges if hits is None else ranges[hits]), self.counts[0], rng)
        proposed: list[tuple[Tensor, Tensor]] = []
        with torch.set_grad_enabled(learning and torch.is_grad_enabled()):
            for guide, count in zip(self.guides, self.counts[1:], strict=True):
                weights = self._weights(guide, rays_local, edges, hits)
                proposed.append((edges, weights))
                u = ascending(len(edges), count + 1, rng, device)
                edges = self.core.resample(edges, weights.detach() + _PADDING, u)
        samples = between(edges, self.scale, self.core, hits, rays)
        looked_at = len(edges) * sum(self.counts[:-1])
        drawn = composite(field, rays_local, samples, self.core, looked_at, self.space.learnt_whole_from)
        if learning and len(edges):
            weights = drawn.weights.detach().view(len(edges), -1)
            misses = [self.core.missed(*of_guide, edges, weights).mean() for of_guide in proposed]
            drawn.losses["proposals"] = torch.stack(misses).sum()
        return [dataclasses.replace(drawn, edges=edges)]

    def _weights(self, guide: Field, rays_local: Rays, edges: Tensor, hits: Tensor | None) -> Tensor:
        """What a guide sees in the intervals between ``edges`` [H, N + 1]: [H, N]."""
        samples = between(edges, self.scale, self.core, hits, len(rays_local.origins))
        alphas = opacities(guide, rays_local, samples, self.core)
        _, _, weights = self.core.composite(alphas, alphas.new_empty(len(alphas), 0), samples.offsets)
        return weights.view(len(edges), edges.shape[1] - 1)

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
