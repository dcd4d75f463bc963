"""Ray marching through an occupancy grid in plain PyTorch: the definition that the kernel is tested against.

Müller et al., "Instant Neural Graphics Primitives with a Multiresolution Hash Encoding", 2022, appendix E.1. Nothing in
it is differentiable: samples are where they are.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Rays, Samples
from nerfkit.core.occupancy import Occupancy, Steps
from nerfkit.core.packing import first_spare, fitted


def march(
    rays: Rays, ranges: Tensor, jitter: Tensor, grid: Occupancy, steps: Steps, room: int | None = None
) -> Samples:
    """The samples of rays [R] in occupied cells, between the distances ``ranges`` [R, 2].

    A ray goes from ``ranges[:, 0]``, moved by ``jitter`` [R] of a step. At distance t a step is ``clamp(cone t, least,
    most)``. If the cell that holds the step's middle is occupied, the step is a sample; if not, the ray goes on by as
    many steps as it takes to leave the cell. The cell is one of the finest level that holds the point and whose cells
    are not smaller than the step. Outside of all levels there is nothing.

    With ``room`` there are so many samples, whatever is found: the first that there are, then some without length, at
    distance 0, of the spare rays (:data:`nerfkit.core.packing.SPARE`), which must be among ``rays``, the last of them,
    with empty ranges.
    """
    occupied = grid.unpack().to(ranges.device)
    t = ranges[:, 0] + jitter * (ranges[:, 0] * steps.cone).clamp(steps.least, steps.most)
    counts = torch.zeros(len(t), dtype=torch.int64, device=t.device)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    left = torch.arange(len(t), device=t.device)
    while True:
        left = left[(t[left] < ranges[left, 1]) & (counts[left] < steps.most_samples)]
        if len(left) == 0:
            break
        step = (t[left] * steps.cone).clamp(steps.least, steps.most)
        points = rays.origins[left] + (t[left] + 0.5 * step)[:, None] * rays.directions[left]  # [L, 3]
        inside, exits = _look_up(occupied, grid, points, rays.directions[left], step)
        sampled = left[inside]
        found.append((sampled, t[sampled], t[sampled] + step[inside]))
        counts[sampled] += 1
        skip = torch.where(inside, step, step * ((exits / step).floor() + 1))
        t[left] = t[left] + skip
    samples = _packed(found, counts, t)
    return samples if room is None else _in_room(samples, room)


def _look_up(
    occupied: Tensor, grid: Occupancy, points: Tensor, directions: Tensor, step: Tensor
) -> tuple[Tensor, Tensor]:
    """Whether points [L, 3] lie in occupied cells [L], and the distance to where the ray leaves the cell [L]."""
    largest = points.abs().amax(1)
    halves = grid.half * 2.0 ** torch.arange(grid.levels + 1, device=points.device)
    level = (largest[:, None] >= halves[None, :-1]).sum(1)
    large_enough = (step[:, None] * grid.cells > 2 * halves[None, : grid.levels - 1]).sum(1)
    level = torch.where(level < grid.levels, torch.maximum(level, large_enough), level)
    outside = level >= grid.levels
    level = level.clamp_max(grid.levels - 1)
    half = halves[level]
    cell = 2 * half / grid.cells
    index = ((points + half[:, None]) / cell[:, None]).long().clamp(0, grid.cells - 1)  # [L, 3]
    corner = index * cell[:, None] - half[:, None]
    border = torch.where(directions > 0, corner + cell[:, None], corner)
    exits = torch.where(directions == 0, torch.inf, (border - points) / directions).amin(1)
    x, y, z = index.unbind(1)
    return occupied[level, z, y, x] & ~outside, torch.where(outside, 0, exits.clamp_min(0))


def _packed(found: list[tuple[Tensor, Tensor, Tensor]], counts: Tensor, t: Tensor) -> Samples:
    rays, starts, ends = (torch.cat(parts) for parts in zip(*found)) if found else (t.new_zeros(0),) * 3
    order = torch.argsort(rays, stable=True)  # each round went once over the rays, near to far
    offsets = torch.cat([counts.new_zeros(1), counts.cumsum(0)]).int()
    return Samples(starts[order], ends[order], offsets, rays[order].int())


def _in_room(samples: Samples, room: int) -> Samples:
    pad = (0, max(room - len(samples.t_start), 0))

    def fill(values: Tensor, value: int = 0) -> Tensor:
        return torch.nn.functional.pad(values[:room], pad, value=value)

    ray_index = fill(samples.ray_index, first_spare(samples.offsets))
    return Samples(fill(samples.t_start), fill(samples.t_end), fitted(samples.offsets, room), ray_index)
