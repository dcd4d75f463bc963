"""What the tests of several operators ask for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest
import torch
from tolerances import GRADIENT
from torch import Tensor

from nerfkit.core._library import library


def on_gpu() -> bool:
    """Whether kernels of a GPU run here, or their emulation."""
    return library().lanes == 1 or os.environ.get("NERFKIT_TEST_DEVICE") == "cuda"


def same_bytes_with_any_number_of_threads(work: Callable[[], Sequence[Tensor]]) -> None:
    if os.environ.get("NERFKIT_TEST_DEVICE") == "cuda":
        pytest.skip("a GPU's threads are not counted, and some of its sums have no order")
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(work())
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert torch.equal(one, other)


def gradients_are_equal(expected: Tensor, got: Tensor, exact: Sequence[Tensor], fast: Sequence[Tensor]) -> None:
    """Sends the same random gradient back from both results and compares what arrives at the leaves."""
    v = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (expected * v).sum().backward()
    (got * v.float()).sum().backward()
    for want, have in zip(exact, fast, strict=True):
        assert want.grad is not None and have.grad is not None
        assert have.grad.shape == want.grad.shape
        assert (have.grad.double() - want.grad).norm() <= GRADIENT * want.grad.norm()
