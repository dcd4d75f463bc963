"""Small multilayer perceptrons through the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nerfkit.core._library import library


def mlp(input: Tensor, weights: Tensor, widths: Sequence[int]) -> Tensor:
    """A multilayer perceptron without biases [S, widths[-1]]: see :func:`nerfkit.core.reference.mlp`.

    Made for widths up to about 128; any width is right. Differentiable in ``input`` and ``weights``.

    Args:
        input: [S, widths[0]] float32.
        weights: [P] float32, the matrices [out, in] of the layers, flat, one after the other.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
        RuntimeError: the widths fit neither the input nor the number of weights.
    """
    return _Mlp.apply(input, weights, tuple(widths))  # type: ignore[no-any-return, no-untyped-call]


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weights: Tensor, widths: tuple[int, ...]) -> Tensor:
        input, weights = input.detach().contiguous(), weights.detach().contiguous()
        output = torch.empty(len(input), widths[-1])
        library().call("nk_mlp_fwd", **_arguments(input, weights, widths), output=output)
        ctx.save_for_backward(input, weights)
        ctx.widths = widths
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        input, weights = ctx.saved_tensors
        grad_weights = torch.empty_like(weights)
        grad_input = torch.empty_like(input) if ctx.needs_input_grad[0] else None
        library().call(
            "nk_mlp_bwd", **_arguments(input, weights, ctx.widths), grad_output=grad.contiguous(),
            grad_weights=grad_weights, grad_input=grad_input,
        )  # fmt: skip
        return grad_input, grad_weights, None


def _arguments(input: Tensor, weights: Tensor, widths: tuple[int, ...]) -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(), "input": input, "weights": weights,
        "widths": torch.tensor(widths, dtype=torch.int32),
    }  # fmt: skip
