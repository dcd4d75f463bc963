"""Samples for depth alone: through what is solid, near to far, and no further than there is light."""

from __future__ import annotations

import copy
import dataclasses

import torch
from torch import Tensor

from nerfkit.contracts import Rays, Samples
from nerfkit.core.occupancy import Occupancy
from nerfkit.models.fields.draw import Drawn, Field, opacity, places
from nerfkit.models.fields.marcher import Marcher

_FIRST_ROUND = 8  # samples of each ray that are looked at before it is asked whether there is any light left…
_DARK = 0.02  # …more than which it takes to go on


class SurfaceMarcher(Marcher):
    """Draws what is solid, without colours; not for training.

    Rays are marched in rounds, each of twice as many samples as the one before, and those whose light is gone don't
    take part in the next one: where they would go on is neither marched nor looked at.
    """

    def __init__(self, marcher: Marcher, solid: Occupancy):
        self.__dict__.update(marcher.__dict__)
        self.occupied = copy.copy(marcher.occupied)
        self.occupied.grid = solid

    @torch.no_grad()
    def draw(self, field: Field, rays_local: Rays, rng: torch.Generator | None = None) -> list[Drawn]:
        """Black rays."""
        rounds = self._rounds(field, rays_local)
        samples, alphas = _in_order(rounds, len(rays_local.origins))
        _, transmittance, weights = self.core.composite(alphas, alphas[:, None], samples.offsets)
        return [Drawn(torch.zeros_like(rays_local.origins), transmittance, weights, samples, len(alphas))]

    def for_surfaces(self, field: Field) -> Marcher:
        return self

    def _rounds(self, field: Field, rays: Rays) -> list[tuple[Tensor, Samples, Tensor]]:
        """Of each round: the rays [A] that take part, their samples, and the samples' opacities."""
        ranges = self.space.ranges(rays, self.near)
        jitter, light = torch.full_like(ranges[:, 0], 0.5), torch.ones_like(ranges[:, 0])
        left = torch.arange(len(light), device=light.device)
        rounds, most, total = [], _FIRST_ROUND, 0
        while len(left) and most > 0:
            some = _some(rays, left)
            steps = dataclasses.replace(self.steps, most_samples=most)
            samples = self.core.march(some, ranges[left], jitter[left], self.occupied.grid, steps)
            alphas = opacity(field.density(*places(field, some, samples)), samples)
            _, transmittance, _ = self.core.composite(alphas, alphas[:, None], samples.offsets)
            rounds.append((left, samples, alphas))
            light[left] *= transmittance
            full = samples.offsets.diff() == most  # else there are no more
            last = samples.t_end[samples.offsets[1:][full].long() - 1]
            ranges[left[full], 0], jitter[left[full]] = last, 0.0  # where the next sample would have begun
            left = left[full & (light[left] > _DARK)]
            total += most
            most = min(2 * most, self.steps.most_samples - total)
        return rounds


def _some(rays: Rays, index: Tensor) -> Rays:
    if len(index) == len(rays.origins):
        return rays
    radii = None if rays.radii is None else rays.radii[index]
    return Rays(rays.origins[index], rays.directions[index], rays.camera_index[index], radii)


def _in_order(rounds: list[tuple[Tensor, Samples, Tensor]], rays: int) -> tuple[Samples, Tensor]:
    """The samples of all rounds, ray by ray and near to far, and their opacities."""
    counts = rounds[0][1].offsets.new_zeros(rays)
    for index, samples, _ in rounds:
        counts[index] += samples.offsets.diff()
    offsets = torch.nn.functional.pad(counts.cumsum(0, dtype=torch.int32), (1, 0))
    alphas = rounds[0][2].new_empty(int(offsets[-1]))
    out = Samples(torch.empty_like(alphas), torch.empty_like(alphas), offsets, offsets.new_empty(len(alphas)))
    free = offsets[:-1].clone()  # where the next sample of a ray goes
    for index, samples, of_round in rounds:
        ray = samples.ray_index.long()
        shift = free[index] - samples.offsets[:-1]
        place = torch.arange(len(ray), device=ray.device) + shift[ray]
        out.t_start[place], out.t_end[place], alphas[place] = samples.t_start, samples.t_end, of_round
        out.ray_index[place] = index.int()[ray]
        free[index] += samples.offsets.diff()
    return out, alphas
