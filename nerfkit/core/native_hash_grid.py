"""The hash encoding through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.core._library import call
from nerfkit.core.arguments import check_table
from nerfkit.core.hash_grid import HashGrid


def hash_encode(positions: Tensor, table: Tensor, grid: HashGrid) -> Tensor:
    """Features [S, L F] of positions [S, 3] in [0, 1]: see :func:`nerfkit.core.reference_hash_grid.hash_encode`.

    Differentiable in both arrays. Neither the values nor the gradients depend on the number of threads.

    Args:
        positions: float32; what lies outside of [0, 1] is moved to the border.
        table: [P, F] float32, with ``P = grid.entries`` and ``F = grid.features``.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
    """
    check_table(table, grid)
    return _HashEncode.apply(positions, table, grid)  # type: ignore[no-any-return, no-untyped-call]


class _HashEncode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, positions: Tensor, table: Tensor, grid: HashGrid) -> Tensor:
        positions, table = positions.detach().contiguous(), table.detach().contiguous()
        features = torch.empty(len(positions), grid.width)
        call("nk_hash_encode_fwd", **_arguments(positions, table, grid), features=features)
        ctx.save_for_backward(positions, table)
        ctx.grid = grid
        return features

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        positions, table = ctx.saved_tensors
        grad_table = torch.empty_like(table)
        grad_positions = torch.empty_like(positions) if ctx.needs_input_grad[0] else None
        call(
            "nk_hash_encode_bwd", **_arguments(positions, table, ctx.grid), grad_features=grad.contiguous(),
            grad_table=grad_table, grad_positions=grad_positions,
        )  # fmt: skip
        return grad_positions, grad_table, None


def _arguments(positions: Tensor, table: Tensor, grid: HashGrid) -> dict[str, Any]:
    return {
        "positions": positions, "table": table,
        "resolutions": grid.resolutions, "offsets": grid.offsets,
    }  # fmt: skip
