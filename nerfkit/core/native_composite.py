"""Compositing along rays through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.core._library import call


def composite(alphas: Tensor, values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Composites packed samples of R rays: see :func:`nerfkit.core.reference.composite`.

    Differentiable in ``alphas`` and ``values`` through all three results.

    Args:
        alphas: [S] float32 in [0, 1], near to far along each ray.
        values: [S, C] float32.
        offsets: [R + 1] int32; ray r has the samples offsets[r] .. offsets[r + 1].

    Returns:
        The sums [R, C], the transmittance left [R], and the weights [S].

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
        RuntimeError: the offsets do not rise from 0 to S.
    """
    return _Composite.apply(alphas, values, offsets)  # type: ignore[no-any-return, no-untyped-call]


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, alphas: Tensor, values: Tensor, offsets: Tensor) -> Any:
        inputs = {"alphas": alphas.detach().contiguous(), "values": values.detach().contiguous(), "offsets": offsets}
        rays = len(offsets) - 1
        results = {
            "sums": alphas.new_empty(rays, values.shape[1]),
            "transmittance": alphas.new_empty(rays),
            "weights": alphas.new_empty(len(alphas)),
        }
        call("nk_composite_fwd", **inputs, **results)
        ctx.inputs = inputs
        ctx.save_for_backward(*results.values())
        ctx.set_materialize_grads(False)
        return tuple(results.values())

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        sums, transmittance, weights = ctx.saved_tensors
        grad_sums, grad_transmittance, grad_weights = (None if g is None else g.contiguous() for g in grads)
        out = {f"grad_{name}": torch.empty_like(ctx.inputs[name]) for name in ("alphas", "values")}
        call(
            "nk_composite_bwd", **ctx.inputs, sums=sums, transmittance=transmittance,
            weights=weights, grad_sums=torch.zeros_like(sums) if grad_sums is None else grad_sums,
            grad_transmittance=grad_transmittance, grad_weights=grad_weights, **out,
        )  # fmt: skip
        return *out.values(), None
