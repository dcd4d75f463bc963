"""The hash encoding through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.core._library import call, library_of
from nerfkit.core.arguments import check_table
from nerfkit.core.hash_grid import HashGrid


def hash_encode(positions: Tensor, table: Tensor, grid: HashGrid) -> Tensor:
    """Features [S, L F] of positions [S, 3] in [0, 1]: see :func:`nerfkit.core.reference_hash_grid.hash_encode`.

    Differentiable in both arrays. Neither the values nor the gradients depend on the number of threads.

    Args:
        positions: float32; what lies outside of [0, 1] is moved to the border.
        table: [P, F] float32, with ``P = grid.entries`` and ``F = grid.features``; on a GPU float16 too, whose gradient
            is added up in single precision and then rounded.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
    """
    check_table(table, grid)
    if table.dtype == torch.float16 and library_of(positions).lanes > 1:
        raise TypeError("hash_encode: a float16 table is for a GPU; on the CPU table must be float32")
    return _HashEncode.apply(positions, table, grid)  # type: ignore[no-any-return, no-untyped-call]


class _HashEncode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, positions: Tensor, table: Tensor, grid: HashGrid) -> Tensor:
        positions, table = positions.detach().contiguous(), table.detach().contiguous()
        features = positions.new_empty(len(positions), grid.width)
        call("nk_hash_encode_fwd", **_arguments(positions, table, grid), features=features)
        ctx.save_for_backward(positions, table)
        ctx.grid = grid
        return features

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        positions, table = ctx.saved_tensors
        grad_table = torch.empty_like(table, dtype=torch.float32)
        grad_positions = torch.empty_like(positions) if ctx.needs_input_grad[0] else None
        call(
            "nk_hash_encode_bwd", **_arguments(positions, table, ctx.grid), grad_features=grad.contiguous(),
            grad_table=grad_table, grad_positions=grad_positions,
        )  # fmt: skip
        return grad_positions, grad_table.to(table.dtype), None


def _arguments(positions: Tensor, table: Tensor, grid: HashGrid) -> dict[str, Any]:
    return {
        "positions": positions, "half_table" if table.dtype == torch.float16 else "table": table,
        "resolutions": grid.resolutions, "offsets": grid.offsets,
    }  # fmt: skip
