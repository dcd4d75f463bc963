"""Samples along rays and their places through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Rays, Samples
from nerfkit.core._library import call


def ray_ranges(rays: Rays, outer: float, near: float) -> Tensor:
    """Distances [R, 2] between which rays are in a cube: see :func:`nerfkit.core.reference_ray_samples.ray_ranges`.

    Not differentiable.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout than float32 [R, 3].
    """
    ranges = rays.origins.new_empty(len(rays.origins), 2)
    call("nk_ray_ranges", **_rows(rays), outer=outer, near=near, ranges=ranges)
    return ranges


def intervals(edges: Tensor, half: float, disparity: bool) -> Samples:
    """The intervals between edges as samples: see :func:`nerfkit.core.reference_ray_samples.intervals`.

    Not differentiable.

    Args:
        edges: [R, N + 1] float32, ascending along each ray; on the scale that ``half`` and ``disparity`` describe.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
        RuntimeError: no edges.
    """
    rays, samples = len(edges), len(edges) * max(edges.shape[1] - 1, 0)
    t_start, t_end = edges.new_empty(samples), edges.new_empty(samples)
    ray_index, offsets = (edges.new_empty(size, dtype=torch.int32) for size in (samples, rays + 1))
    call(
        "nk_intervals", edges=edges.detach().contiguous(), half=half, disparity=int(disparity), t_start=t_start,
        t_end=t_end, ray_index=ray_index, offsets=offsets,
    )  # fmt: skip
    return Samples(t_start, t_end, offsets, ray_index)


def sample_points(rays: Rays, samples: Samples) -> Tensor:
    """The samples' middles [S, 3]: see :func:`nerfkit.core.reference_ray_samples.sample_points`.

    Not differentiable.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
        RuntimeError: a sample of no ray, which on a GPU this call or a later one reports.
    """
    points = rays.origins.new_empty(len(samples.t_start), 3)
    call(
        "nk_sample_points", **_rows(rays), t_start=samples.t_start.detach().contiguous(),
        t_end=samples.t_end.detach().contiguous(), ray_index=samples.ray_index.contiguous(), points=points,
    )  # fmt: skip
    return points


def to_cube(points: Tensor, half: float, contracted: bool, scale: float, shift: float) -> Tensor:
    """Points [S, 3] to a cube: see :func:`nerfkit.core.reference_ray_samples.to_cube`. Differentiable in ``points``.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout than float32 [S, 3].
    """
    numbers = {"half": half, "contracted": int(contracted), "scale": scale, "shift": shift}
    return _ToCube.apply(points, numbers)  # type: ignore[no-any-return, no-untyped-call]


class _ToCube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, points: Tensor, numbers: dict[str, Any]) -> Tensor:
        points = points.detach().contiguous()
        cube = torch.empty_like(points)
        call("nk_to_cube_fwd", **numbers, points=points, cube=cube)
        ctx.save_for_backward(points)
        ctx.numbers = numbers
        return cube

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (points,) = ctx.saved_tensors
        out = torch.empty_like(points)
        call("nk_to_cube_bwd", **ctx.numbers, points=points, grad_cube=grads[0].contiguous(), grad_points=out)
        return out, None


def _rows(rays: Rays) -> dict[str, Tensor]:
    return {"origins": rays.origins.detach().contiguous(), "directions": rays.directions.detach().contiguous()}
