"""What proposed weights along rays don't allow, through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.core._library import call


def missed(edges: Tensor, proposed: Tensor, finer: Tensor, weights: Tensor) -> Tensor:
    """What weights are more than proposed ones allow [R]: see :func:`nerfkit.core.reference_ray_samples.missed`.

    Differentiable in ``proposed`` alone. Nothing depends on the number of threads.

    Args:
        edges: [R, N + 1] float32, ascending, between the intervals of ``proposed`` [R, N].
        finer: [R, M + 1] float32, ascending, between those of ``weights`` [R, M].

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
        RuntimeError: edges that do not fit the weights.
    """
    return _Missed.apply(proposed, edges, finer, weights)  # type: ignore[no-any-return, no-untyped-call]


class _Missed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, proposed: Tensor, edges: Tensor, finer: Tensor, weights: Tensor) -> Tensor:
        arrays = {"proposed": proposed, "edges": edges, "finer": finer, "weights": weights}
        ctx.arrays = {name: array.detach().contiguous() for name, array in arrays.items()}
        loss = edges.new_empty(len(edges))
        call("nk_missed_fwd", **ctx.arrays, loss=loss)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        out = torch.empty_like(ctx.arrays["proposed"])
        call("nk_missed_bwd", **ctx.arrays, grad_loss=grads[0].contiguous(), grad_proposed=out)
        return out, None, None, None
