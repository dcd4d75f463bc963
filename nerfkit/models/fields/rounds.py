"""Samples in rounds, near to far, and no further than there is light."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit.contracts import Rays, Samples
from nerfkit.models.fields.draw import Field, opacities

if TYPE_CHECKING:
    from nerfkit.models.fields.marcher import Marcher

_FIRST_ROUND = 8  # samples of each ray that are looked at before it is asked whether there is any light left


@torch.no_grad()
def in_rounds(marcher: Marcher, field: Field, rays: Rays, dark: float) -> tuple[Samples, Tensor]:
    """Samples along rays of local space [R] and their opacities, of rays in the dark none further on.

    Each round has twice as many samples of a ray as the one before, and rays whose light is gone don't take part in
    the next one: where they would go on is neither marched nor looked at. Samples are where one march without rounds
    has them.

    Args:
        dark: share of the light, more than which it takes to go on.
    """
    rounds = _rounds(marcher, field, rays, dark)
    return _in_order(rounds, len(rays.origins))


def _rounds(marcher: Marcher, field: Field, rays: Rays, dark: float) -> list[tuple[Tensor, Samples, Tensor]]:
    """Of each round: the rays [A] that take part, their samples, and the samples' opacities."""
    ranges = marcher.space.ranges(rays, marcher.near, marcher.core)
    jitter, light = torch.full_like(ranges[:, 0], 0.5), torch.ones_like(ranges[:, 0])
    left = torch.arange(len(light), device=light.device)
    rounds, most, total = [], _FIRST_ROUND, 0
    while len(left) and most > 0:
        some = _some(rays, left)
        steps = dataclasses.replace(marcher.steps, most_samples=most)
        samples = marcher.core.march(some, ranges[left], jitter[left], marcher.occupied.grid, steps)
        alphas = opacities(field, some, samples, marcher.core)
        _, transmittance, _ = marcher.core.composite(alphas, alphas[:, None], samples.offsets)
        rounds.append((left, samples, alphas))
        light[left] *= transmittance
        full = samples.offsets.diff() == most  # else there are no more
        last = samples.t_end[samples.offsets[1:][full].long() - 1]
        ranges[left[full], 0], jitter[left[full]] = last, 0.0  # where the next sample would have begun
        left = left[full & (light[left] > dark)]
        total += most
        most = min(2 * most, marcher.steps.most_samples - total)
    return rounds


def _some(rays: Rays, index: Tensor) -> Rays:
    if len(index) == len(rays.origins):
        return rays
    radii = None if rays.radii is None else rays.radii.index_select(0, index)
    origins, directions, cameras = (
        of.index_select(0, index) for of in (rays.origins, rays.directions, rays.camera_index)
    )
    return Rays(origins, directions, cameras, radii)


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
