"""Spherical harmonics of directions through the library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.core._library import call


def sh_encode(directions: Tensor, degree: int) -> Tensor:
    """Real spherical harmonics [S, (degree + 1)^2]: see :func:`nerfkit.core.reference.sh_basis`.

    Differentiable in ``directions``; the gradient is that of the polynomials, whose part along the direction goes
    away in the gradient of the normalisation. Nothing depends on the number of threads.

    Args:
        directions: [S, 3] float32, unit.
        degree: 0 to 3.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout; another degree.
    """
    if degree not in range(4):
        raise ValueError(f"sh_encode: degree must be 0 to 3, got {degree}")
    return _ShEncode.apply(directions, degree)  # type: ignore[no-any-return, no-untyped-call]


class _ShEncode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, directions: Tensor, degree: int) -> Tensor:
        directions = directions.detach().contiguous()
        features = directions.new_empty(len(directions), (degree + 1) ** 2)
        call("nk_sh_encode_fwd", **_arguments(directions, degree), features=features)
        ctx.save_for_backward(directions)
        ctx.degree = degree
        return features

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (directions,) = ctx.saved_tensors
        out = torch.empty_like(directions)
        call(
            "nk_sh_encode_bwd", **_arguments(directions, ctx.degree), grad_features=grads[0].contiguous(),
            grad_directions=out,
        )  # fmt: skip
        return out, None


def _arguments(directions: Tensor, degree: int) -> dict[str, Any]:
    return {"directions": directions, "degree": degree}
