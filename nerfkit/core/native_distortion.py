"""The distortion loss through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.core._library import call


def distortion(weights: Tensor, t_start: Tensor, t_end: Tensor, offsets: Tensor) -> Tensor:
    """The distortion loss of each ray [R]: see :func:`nerfkit.core.reference_distortion.distortion`.

    Takes time in proportion to the samples, where the definition is a double sum. Differentiable in ``weights``, not in
    the distances. Nothing depends on the number of threads.

    Args:
        weights: [S] float32, as :meth:`composite` gives them.
        t_start, t_end: [S] float32, where each sample begins and ends, near to far along each ray.
        offsets: [R + 1] int32; ray r has the samples offsets[r] .. offsets[r + 1].

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
        RuntimeError: the offsets do not rise from 0 to S.
    """
    return _Distortion.apply(weights, t_start, t_end, offsets)  # type: ignore[no-any-return, no-untyped-call]


class _Distortion(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, t_start: Tensor, t_end: Tensor, offsets: Tensor) -> Tensor:
        inputs = [tensor.detach().contiguous() for tensor in (weights, t_start, t_end, offsets)]
        loss = weights.new_empty(len(offsets) - 1)
        call("nk_distortion_fwd", **_arguments(*inputs), loss=loss)
        ctx.save_for_backward(*inputs)
        return loss

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        out = torch.empty_like(ctx.saved_tensors[0])
        call("nk_distortion_bwd", **_arguments(*ctx.saved_tensors), grad_loss=grads[0].contiguous(), grad_weights=out)
        return out, None, None, None


def _arguments(weights: Tensor, t_start: Tensor, t_end: Tensor, offsets: Tensor) -> dict[str, Any]:
    return {
        "weights": weights, "t_start": t_start, "t_end": t_end, "offsets": offsets,
    }  # fmt: skip
