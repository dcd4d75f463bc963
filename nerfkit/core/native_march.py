"""Ray marching through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Rays, Samples
from nerfkit.core._library import call
from nerfkit.core.occupancy import Occupancy, Steps
from nerfkit.core.packing import first_spare, fitted

_FEW = 64  # samples of a ray, for as many of which there is room without counting them before


def march(
    rays: Rays, ranges: Tensor, jitter: Tensor, grid: Occupancy, steps: Steps, room: int | None = None
) -> Samples:
    """The samples of rays in occupied cells: see :func:`nerfkit.core.reference_march.march`. Not differentiable.

    Args:
        rays: R rays in the scene frame, float32.
        ranges: [R, 2] float32, distances along each ray between which to look; an empty one gives no samples.
        jitter: [R] float32 in [0, 1), the share of a step by which a ray's first sample is moved.
        room: gives so many samples, for which a GPU is not waited for. See :mod:`nerfkit.core.packing`.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
        RuntimeError: steps that are not positive.
    """
    common = {
        "K": grid.levels, "G": grid.cells, "half": grid.half, "bits": grid.bits,
        "cone": steps.cone, "least_step": steps.least, "most_step": steps.most, "most_samples": steps.most_samples,
        "origins": rays.origins.contiguous(), "directions": rays.directions.contiguous(),
        "ranges": ranges.contiguous(), "jitter": jitter.contiguous(),
    }  # fmt: skip
    if room is None and steps.most_samples <= _FEW:
        return _in_one_pass(len(ranges), steps.most_samples, common)
    counts = ranges.new_empty(len(ranges), dtype=torch.int32)
    call("nk_march_count", **common, counts=counts)
    offsets = ranges.new_zeros(len(ranges) + 1, dtype=torch.int32)
    torch.cumsum(counts, 0, out=offsets[1:])
    if room is None:
        total = int(offsets[-1])  # the one thing that is waited for
        t_start, t_end = ranges.new_empty(total), ranges.new_empty(total)
        ray_index = ranges.new_empty(total, dtype=torch.int32)
    else:
        offsets = fitted(offsets, room)
        t_start, t_end = ranges.new_zeros(room), ranges.new_zeros(room)
        ray_index = offsets.new_full((room,), first_spare(offsets))
    call(
        "nk_march_fill", **common, offsets=offsets, t_start=t_start, t_end=t_end, ray_index=ray_index
    )  # fmt: skip
    return Samples(t_start, t_end, offsets, ray_index)


def _in_one_pass(rays: int, most: int, common: dict[str, Any]) -> Samples:
    """Every ray writes into a place of its own for ``most`` samples, which then close up."""
    device = common["ranges"].device
    offsets = torch.arange(rays + 1, dtype=torch.int32, device=device) * most
    t_start, t_end = torch.empty(rays * most, device=device), torch.empty(rays * most, device=device)
    ray_index = torch.full((rays * most,), -1, dtype=torch.int32, device=device)
    call("nk_march_fill", **common, offsets=offsets, t_start=t_start, t_end=t_end, ray_index=ray_index)
    there = ray_index >= 0
    counts = there.view(rays, most).sum(1, dtype=torch.int32)
    place = there.nonzero()[:, 0]  # the one thing that is waited for
    torch.cumsum(counts, 0, out=offsets[1:])
    t_start, t_end, ray_index = (of.index_select(0, place) for of in (t_start, t_end, ray_index))
    return Samples(t_start, t_end, offsets, ray_index)
