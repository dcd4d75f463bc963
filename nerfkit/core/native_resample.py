"""Inverse transform sampling along rays through the library."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.core._library import call


def resample(edges: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Distances t [R, M] with the density of the weights: see :func:`nerfkit.core.reference_resample.resample`.

    Not differentiable: samples are where they are. t ascends in every row, and lies between its first and last edge.

    Args:
        edges: [R, N + 1] float32, ascending along each ray; N is at least 1.
        weights: [R, N] float32, at least 0, in any unit.
        u: [R, M] float32 in [0, 1), ascending in each row: evenly spaced, or stratified.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
        RuntimeError: no interval, edges that do not fit the weights, or a row of u that does not ascend.
    """
    t = torch.empty_like(u, memory_format=torch.contiguous_format)
    call(
        "nk_resample", edges=edges.detach().contiguous(),
        weights=weights.detach().contiguous(), u=u.detach().contiguous(), t=t,
    )  # fmt: skip
    return t
