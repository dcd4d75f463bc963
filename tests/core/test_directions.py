"""Directions of vectors in planes against PyTorch's."""

from __future__ import annotations

import pytest
import torch

from nerfkit.core.directions import unit


@pytest.mark.cpu_only
@pytest.mark.parametrize("shape", [(3,), (3, 7), (3, 5, 4)])
def test_directions_are_those_of_pytorch(shape: tuple[int, ...]) -> None:
    rng = torch.Generator().manual_seed(0)
    vectors, v = (torch.randn(shape, generator=rng, dtype=torch.float64) for _ in range(2))
    one, other = vectors.clone().requires_grad_(), vectors.clone().requires_grad_()
    expected = torch.nn.functional.normalize(one, dim=0)
    assert torch.allclose(unit(other), expected, rtol=1e-14)
    (unit(other) * v).sum().backward()
    (expected * v).sum().backward()
    assert one.grad is not None and other.grad is not None
    assert torch.allclose(other.grad, one.grad, rtol=1e-12)


@pytest.mark.cpu_only
def test_what_has_no_direction_has_none() -> None:
    zero = torch.zeros(3, 2).requires_grad_()
    unit(zero).sum().backward()
    assert not unit(zero).any() and zero.grad is not None and torch.isfinite(zero.grad).all()
