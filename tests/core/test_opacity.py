"""Densities and opacities against their PyTorch definitions: values, gradients, and what training may not overlook."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from core.checks import gradients_are_equal, same_bytes_with_any_number_of_threads
from nerfkit.contracts import Samples
from nerfkit.core import reference_ray_samples as reference
from nerfkit.core.native import NativeCore


def samples_of(count: int) -> Samples:
    rng = torch.Generator().manual_seed(count)
    start = torch.rand(count, generator=rng).cumsum(0) * 0.1
    offsets, index = torch.tensor([0, count], dtype=torch.int32), torch.zeros(count, dtype=torch.int32)
    return Samples(start, start + torch.rand(count, generator=rng) * 0.1, offsets, index)


def doubles(samples: Samples) -> Samples:
    return Samples(samples.t_start.double(), samples.t_end.double(), samples.offsets, samples.ray_index)


@pytest.mark.parametrize("count", [0, 1, 17, 500])
@pytest.mark.parametrize("columns", [1, 16])
def test_densities_equal_reference(count: int, columns: int) -> None:
    outputs = torch.randn(count, columns, generator=torch.Generator().manual_seed(count)) * 5
    outputs = outputs.double().requires_grad_()
    fast = outputs.detach().float().requires_grad_()
    expected, got = reference.exp_density(outputs, 1.0, 4.0, 0.7), NativeCore().exp_density(fast, 1.0, 4.0, 0.7)
    torch.testing.assert_close(got.double(), expected, rtol=2e-6, atol=0)
    if count:
        gradients_are_equal(expected, got, [outputs], [fast])
    assert count < 500 or 0.1 < float((got == got.max()).float().mean()) < 0.5  # where the power is cut


@pytest.mark.parametrize("count", [0, 1, 17, 500])
@pytest.mark.parametrize("whole_from", [0.0, 10.0])
def test_opacities_equal_reference(count: int, whole_from: float) -> None:
    density = (torch.randn(count, generator=torch.Generator().manual_seed(count)) * 4).exp().double().requires_grad_()
    fast, samples = density.detach().float().requires_grad_(), samples_of(count)
    expected, share = reference.opacity(density, doubles(samples), whole_from)
    got, fast_share = NativeCore().opacity(fast, samples, whole_from)
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=0)
    if count:
        gradients_are_equal(expected, got, [density], [fast])
    if whole_from == 0:
        assert share is None and fast_share is None
    else:
        assert share is not None and fast_share is not None and not fast_share.requires_grad
        torch.testing.assert_close(fast_share.double(), share)
        assert count < 500 or (float(share.min()) < 0.01 and float(share.max()) == 1)


@pytest.mark.parametrize("length", [1e-9, 1e-4, 0.49, 0.51, 1.0, 20.0, 1e5])
def test_thin_and_dense_are_as_exact(length: float) -> None:
    samples = Samples(torch.zeros(1), torch.full((1,), length), torch.tensor([0, 1]).int(), torch.zeros(1).int())
    alpha, _ = NativeCore().opacity(torch.ones(1), samples)
    assert float(alpha) == pytest.approx(-math.expm1(-float(samples.t_end)), rel=3e-7)


def test_what_is_no_number_stays_none() -> None:
    """Training looks whether its loss is finite."""
    outputs = torch.zeros(20, 1)
    outputs[7] = math.nan
    density = NativeCore().exp_density(outputs, 0.0, 12.0, 1.0)
    alphas, _ = NativeCore().opacity(density, samples_of(20))
    for found in (density, alphas):
        assert found.isnan().nonzero().tolist() == [[7]]


@pytest.mark.cpu_only
def test_reference_by_finite_differences() -> None:
    samples = doubles(samples_of(9))
    outputs = torch.randn(9, 2, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: reference.opacity(reference.exp_density(x, 0.5, 12.0, 0.7), samples)[0], outputs
    )


@pytest.mark.cpu_only
def test_same_bytes_with_any_number_of_threads() -> None:
    def work() -> list[Tensor]:
        outputs = torch.randn(700, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
        alphas, _ = NativeCore().opacity(NativeCore().exp_density(outputs, 0.0, 12.0, 1.0), samples_of(700), 30.0)
        alphas.sum().backward()
        assert outputs.grad is not None
        return [alphas.detach(), outputs.grad]

    same_bytes_with_any_number_of_threads(work)


def test_wrong_arguments_are_named() -> None:
    core = NativeCore()
    with pytest.raises(ValueError, match=r"outputs must be \[S, K\] with a column or more, got \[3, 0\]"):
        core.exp_density(torch.zeros(3, 0), 0.0, 12.0, 1.0)
    with pytest.raises(ValueError, match=r"t_start must be \[S\] with S=4 \(from density\), got \[3\]"):
        core.opacity(torch.zeros(4), samples_of(3))
    with pytest.raises(TypeError, match=r"density must be torch\.float32"):
        core.opacity(torch.zeros(3).double(), samples_of(3))
