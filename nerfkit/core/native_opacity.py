"""Densities and opacities of samples through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Samples
from nerfkit.core._library import call


def exp_density(outputs: Tensor, first: float, most: float, half: float) -> Tensor:
    """Densities [S] by the first column of a network's outputs: see
    :func:`nerfkit.core.reference_ray_samples.exp_density`. Differentiable in ``outputs``.

    Args:
        outputs: [S, K] float32, K at least 1.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
    """
    if outputs.ndim != 2 or outputs.shape[1] < 1:
        raise ValueError(f"exp_density: outputs must be [S, K] with a column or more, got {list(outputs.shape)}")
    return _ExpDensity.apply(outputs, first, most, half)  # type: ignore[no-any-return, no-untyped-call]


def opacity(density: Tensor, samples: Samples, whole_from: float = 0.0) -> tuple[Tensor, Tensor | None]:
    """Opacities [S], and the share that samples learn by: see :func:`nerfkit.core.reference_ray_samples.opacity`.

    Differentiable in ``density``.

    Args:
        density: [S] float32, at least 0.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
    """
    return _Opacity.apply(density, samples.t_start, samples.t_end, whole_from)  # type: ignore[no-any-return, no-untyped-call]


class _ExpDensity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, outputs: Tensor, first: float, most: float, half: float) -> Tensor:
        outputs = outputs.detach().contiguous()
        density = outputs.new_empty(len(outputs))
        ctx.numbers = {"first": first, "most": most}
        call("nk_exp_density_fwd", **ctx.numbers, half=half, outputs=outputs, density=density)
        ctx.save_for_backward(outputs, density)
        return density

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        outputs, density = ctx.saved_tensors
        out = torch.empty_like(outputs)
        call(
            "nk_exp_density_bwd", **ctx.numbers, outputs=outputs, density=density, grad_density=grads[0].contiguous(),
            grad_outputs=out,
        )  # fmt: skip
        return out, None, None, None


class _Opacity(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, density: Tensor, t_start: Tensor, t_end: Tensor, whole_from: float) -> Any:
        arrays = {"t_start": t_start.detach().contiguous(), "t_end": t_end.detach().contiguous()}
        alphas = density.new_empty(len(density))
        share = torch.empty_like(alphas) if whole_from > 0 else None
        call(
            "nk_opacity_fwd", **arrays, whole_from=whole_from, density=density.detach().contiguous(), alphas=alphas,
            share=share,
        )  # fmt: skip
        ctx.arrays, ctx.share = arrays, share
        ctx.save_for_backward(alphas)
        ctx.set_materialize_grads(False)  # the share has none
        if share is not None:
            ctx.mark_non_differentiable(share)
        return alphas, share

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (alphas,) = ctx.saved_tensors
        if grads[0] is None:
            return None, None, None, None
        out = torch.empty_like(alphas)
        call(
            "nk_opacity_bwd", **ctx.arrays, alphas=alphas, share=ctx.share, grad_alphas=grads[0].contiguous(),
            grad_density=out,
        )  # fmt: skip
        return out, None, None, None
