"""Small multilayer perceptrons through the library."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, get_args

import torch
from torch import Tensor

from nerfkit.core import reference
from nerfkit.core._header import constants
from nerfkit.core._library import call, library_of
from nerfkit.core.types import Output

_OUTPUTS = get_args(Output)  # in the order of NK_OUTPUT_LINEAR…


def mlp(
    input: Tensor,
    weights: Tensor,
    widths: Sequence[int],
    shared: Tensor | None = None,
    index: Tensor | None = None,
    output: Output = "linear",
) -> Tensor:
    """A multilayer perceptron without biases [S, widths[-1]]: see :func:`nerfkit.core.reference.mlp`.

    Made for widths up to about 128; any width is right. Differentiable in ``input``, ``weights`` and ``shared``. A
    GPU's kernel multiplies half precision and adds up single; a network that it has no room for goes through PyTorch.

    Args:
        input: [S, I] float32.
        weights: [P] float32, the matrices [out, in] of the layers, flat, one after the other.
        widths: of the input, I or I + J, and of what lies behind each layer.
        shared: [B, J] float32, rows that many samples have in common: ``shared[index[s]]`` follows a sample's own.
        index: [S] int32, below B; given together with ``shared``.
        output: what follows the last layer; exp only of what floats hold the power of.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout; an index out of range.
        RuntimeError: the widths fit neither the input nor the number of weights; an index out of range on a GPU, which
            this call or a later one reports.
    """
    if (shared is None) != (index is None):
        raise TypeError("mlp: shared and index are given together")
    if shared is not None and index is not None:
        _check_index(index, len(shared))
    if library_of(input).lanes == 1 and not _fits_kernel(widths):
        return reference.mlp(input, weights, widths, shared, index, output)
    numbers = {"widths": _on_host(tuple(widths)), "activation": _OUTPUTS.index(output)}
    return _Mlp.apply(input, weights, shared, index, numbers)  # type: ignore[no-any-return, no-untyped-call]


def _check_index(index: Tensor, rows: int) -> None:
    """Raises ValueError. What lies on a GPU is not waited for: the kernel looks at it."""
    if len(index) == 0 or (index.is_cuda and rows > 0):
        return
    lowest, highest = index.aminmax()
    if lowest < 0 or highest >= rows:
        raise ValueError(f"mlp: index must lie in 0..{rows - 1}, got {int(lowest)}..{int(highest)}")


@functools.lru_cache(maxsize=64)
def _on_host(widths: tuple[int, ...]) -> Tensor:
    return torch.tensor(widths, dtype=torch.int32)


def _fits_kernel(widths: Sequence[int]) -> bool:
    limits = constants()
    return max(widths) <= limits["MLP_MOST_WIDTH"] and len(widths) - 1 <= limits["MLP_MOST_LAYERS"]


class _Mlp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weights: Tensor, shared: Tensor | None, index: Tensor | None, numbers: dict[str, Any]
    ) -> Tensor:
        arrays = {"input": input, "weights": weights, "shared": shared, "index": index}
        arrays = {name: array.detach().contiguous() for name, array in arrays.items() if array is not None}
        output = input.new_empty(len(input), int(numbers["widths"][-1]))
        call("nk_mlp_fwd", **arrays, **numbers, output=output)
        ctx.save_for_backward(*arrays.values())
        ctx.names, ctx.numbers = tuple(arrays), numbers
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        arrays = dict(zip(ctx.names, ctx.saved_tensors, strict=True))
        grad_weights = torch.empty_like(arrays["weights"])
        grad_input = torch.empty_like(arrays["input"]) if ctx.needs_input_grad[0] else None
        of_samples = grad.new_empty(len(grad), arrays["shared"].shape[1]) if ctx.needs_input_grad[2] else None
        call(
            "nk_mlp_bwd", **arrays, **ctx.numbers, grad_output=grad.contiguous(),
            grad_weights=grad_weights, grad_input=grad_input, grad_shared=of_samples,
        )  # fmt: skip
        grad_shared = None
        if of_samples is not None:
            grad_shared = torch.zeros_like(arrays["shared"]).index_add_(0, _within(arrays), of_samples)
        return grad_input, grad_weights, grad_shared, None, None


def _within(arrays: dict[str, Tensor]) -> Tensor:
    """The samples' shared rows. PyTorch would end the process's use of a GPU over one that isn't there."""
    index = arrays["index"]
    return index.clamp(0, max(len(arrays["shared"]) - 1, 0)) if index.is_cuda else index
