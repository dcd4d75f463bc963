"""Samples along rays, their places, densities and opacities in plain PyTorch: what the kernels are tested against."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Rays, Samples


def ray_ranges(rays: Rays, outer: float, near: float) -> Tensor:
    """Distances [R, 2] at which rays enter and leave the cube [-outer, outer]^3, at least ``near``; alike where they
    miss it."""
    inverse = rays.directions.reciprocal()
    first, second = (-outer - rays.origins) * inverse, (outer - rays.origins) * inverse
    # A ray that runs in a face's plane has 0 * inf there: it is inside or outside whatever its distance.
    enter = torch.minimum(first, second).nan_to_num(nan=-torch.inf).amax(1).clamp_min(near)
    leave = torch.maximum(first, second).nan_to_num(nan=torch.inf).amin(1)
    return torch.stack([enter, torch.maximum(enter, leave)], 1)


def intervals(edges: Tensor, half: float, disparity: bool) -> Samples:
    """The intervals between ascending ``edges`` [R, N + 1] as samples of R rays, N of each.

    Edges lie on a scale of distances that is even up to ``half``, which is 1 there; beyond it, with ``disparity``, it
    is even in the inverse distance, and 2 is infinity.
    """
    s = torch.where(edges < 1, edges, (2 - edges).clamp_min(1e-6).reciprocal()) if disparity else edges
    t = s * half
    rays, count = len(edges), edges.shape[1] - 1
    ray_index = torch.arange(rays, dtype=torch.int32, device=edges.device)[:, None].expand(-1, count)
    offsets = torch.arange(rays + 1, dtype=torch.int32, device=edges.device) * count
    return Samples(t[:, :-1].reshape(-1), t[:, 1:].reshape(-1), offsets, ray_index.reshape(-1))


def sample_points(rays: Rays, samples: Samples) -> Tensor:
    """The samples' middles [S, 3]."""
    index = samples.ray_index
    origins, directions = (rows.index_select(0, index) for rows in (rays.origins, rays.directions))
    return torch.addcmul(origins, directions, ((samples.t_start + samples.t_end) / 2)[:, None])


def to_cube(points: Tensor, half: float, contracted: bool, scale: float, shift: float) -> Tensor:
    """Points [S, 3] over ``half``, drawn together beyond the cube [-1, 1]^3 if ``contracted``, times ``scale``, plus
    ``shift``: [S, 3].

    The contraction is that of Barron et al. 2022 (Mip-NeRF 360, eq. 10) by the maximum norm:
    ``x`` where ``|x| <= 1``, else ``(2 - 1 / |x|) x / |x|``, within [-2, 2]^3.
    """
    x = points / half
    if contracted:
        size = x.abs().amax(1, keepdim=True).clamp_min(1)
        x = x * ((2 - size.reciprocal()) / size)
    return x * scale + shift


def exp_density(outputs: Tensor, first: float, most: float, half: float) -> Tensor:
    """``exp(x + first) / half`` [S] of the first column x of a network's ``outputs`` [S, K]; the power is at most
    ``most``."""
    return (outputs[:, 0] + first).clamp_max(most).exp() / half


def opacity(density: Tensor, samples: Samples, whole_from: float = 0.0) -> tuple[Tensor, Tensor | None]:
    """Opacities ``1 - exp(-density length)`` [S] of samples of even density [S] (Max 1995, eq. 3).

    Args:
        whole_from: distance from which samples learn by all of their gradient. Nearer ones learn by the square of their
            share of it (Philip & Deschaintre 2023, "Floaters No More", eq. 3): the density has that much less.

    Returns:
        The opacities, and that share [S]; None where ``whole_from`` is 0.
    """
    share = None
    if whole_from > 0:
        share = ((samples.t_start + samples.t_end) / (2 * whole_from)).clamp_max(1) ** 2
        if density.requires_grad:
            density = _Lessened.apply(density, share)  # type: ignore[no-untyped-call]
    return -torch.expm1(-density * (samples.t_end - samples.t_start)), share


class _Lessened(torch.autograd.Function):
    """Values as they are, and less of their gradient."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor, share: Tensor) -> Tensor:
        ctx.save_for_backward(share)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grads: Tensor) -> tuple[Tensor, None]:
        (share,) = ctx.saved_tensors  # type: ignore[attr-defined]
        return grads[0] * share, None


def missed(edges: Tensor, proposed: Tensor, finer: Tensor, weights: Tensor) -> Tensor:
    """What weights are more than proposed ones allow (Barron et al. 2022, Mip-NeRF 360, eq. 13): [R].

    The weight of an interval can't be more than that of all proposed ones that overlap it; a guide that proposes too
    much loses nothing by it, but its weights add up to no more than 1. Differentiable in ``proposed`` alone.

    Args:
        edges: [R, N + 1] ascending, between the intervals of ``proposed`` [R, N].
        finer: [R, M + 1] ascending, between those of ``weights`` [R, M].
    """
    edges, finer, weights = edges.detach(), finer.detach(), weights.detach()
    running = torch.nn.functional.pad(proposed.cumsum(1), (1, 0))  # [R, N + 1], before each edge
    last = proposed.shape[1]
    begin = (torch.searchsorted(edges, finer[:, :-1].contiguous(), right=True) - 1).clamp(0, last)
    end = torch.searchsorted(edges, finer[:, 1:].contiguous()).clamp(0, last)
    end = torch.maximum(begin, end)  # an interval of no length, on an edge, overlaps none
    allowed = running.gather(1, end) - running.gather(1, begin)
    return ((weights - allowed).clamp_min(0) ** 2 / (weights + 1e-7)).sum(1)
