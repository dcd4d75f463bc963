"""The positional encoding against its PyTorch reference: values, gradients, and the error of its sines."""

from __future__ import annotations

import pytest
import torch
from tolerances import GRADIENT, VALUE
from torch import Tensor

from core.checks import gradients_are_equal, same_bytes_with_any_number_of_threads
from nerfkit.core._library import library
from nerfkit.core.native import NativeCore
from nerfkit.core.reference_frequency import frequency_encode


def inputs(count: int) -> tuple[Tensor, Tensor]:
    """Positions to a few units from the origin, and variances from none to so large that nothing is left."""
    rng = torch.Generator().manual_seed(count)
    x = torch.randn(count, 3, generator=rng, dtype=torch.float64) * 2
    variance = 10 ** (torch.rand(count, 3, generator=rng, dtype=torch.float64) * 8 - 6)
    variance[::5] = 0
    return x.float().double(), variance.float().double()


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 15, 16, 17, 333])
@pytest.mark.parametrize("frequencies", [0, 1, 4, 10])
@pytest.mark.parametrize("integrated", [False, True])
def test_values_and_gradients_equal_reference(count: int, frequencies: int, integrated: bool) -> None:
    exact, variance = inputs(count)
    exact.requires_grad_()
    fast = exact.detach().float().requires_grad_()
    expected = frequency_encode(exact, frequencies, variance if integrated else None)
    got = NativeCore().frequency_encode(fast, frequencies, variance.float() if integrated else None)
    assert got.shape == (count, 3 + 6 * frequencies)
    assert torch.allclose(got.double(), expected, rtol=0, atol=VALUE / (5 if integrated else 50))
    gradients_are_equal(expected, got, [exact], [fast])
    assert count == 0 or (exact.grad is not None and exact.grad.norm() > 0)


@pytest.mark.parametrize(("largest", "error"), [(1.0, 1.2e-7), (200.0, 1.2e-7), (12e3, 1.2e-7), (5e4, 5e-7)])
def test_sines_and_cosines_equal_those_of_float64(largest: float, error: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.empty(200_000, 3).uniform_(-largest, largest, generator=rng)
    x[0] = torch.tensor([0.0, largest, -largest])
    # The floats next to multiples of a quarter and an eighth of a turn, where the reduction is hardest.
    turns = torch.arange(0, int(largest * 4 / torch.pi) + 1)[-30_000:]
    x[1 : 1 + len(turns), 0] = (turns.double() * (torch.pi / 4)).float()
    got = NativeCore().frequency_encode(x, 1)
    exact = x.double()
    assert (got[:, 3:6] - exact.sin()).abs().max() <= error
    assert (got[:, 6:9] - exact.cos()).abs().max() <= error


def test_order_is_that_of_the_papers_code() -> None:
    x = torch.tensor([[0.1, 0.2, 0.3]])
    got = NativeCore().frequency_encode(x, 2)
    assert torch.allclose(got, torch.cat([x, x.sin(), x.cos(), (2 * x).sin(), (2 * x).cos()], 1))


def test_integrated_encoding_is_the_mean_over_a_normal_distribution() -> None:
    x, variance = torch.tensor([[0.3, -0.8, 1.1]]).double(), torch.tensor([[0.05, 0.2, 0.01]]).double()
    points = x + variance.sqrt() * torch.linspace(-8, 8, 2001, dtype=torch.float64)[:, None]
    density = torch.exp(-0.5 * torch.linspace(-8, 8, 2001, dtype=torch.float64)[:, None] ** 2)
    mean = (frequency_encode(points, 4) * density).sum(0) / density.sum()
    assert torch.allclose(frequency_encode(x, 4, variance)[0], mean, atol=1e-12)


@pytest.mark.cpu_only
def test_reference_gradients_equal_finite_differences() -> None:
    x, variance = inputs(3)
    assert torch.autograd.gradcheck(lambda p: frequency_encode(p, 3, variance), [x.requires_grad_()])


@pytest.mark.cpu_only
def test_same_bytes_with_any_number_of_threads() -> None:
    def work() -> list[Tensor]:
        x, variance = inputs(1000)
        leaf = x.float().requires_grad_()
        features = NativeCore().frequency_encode(leaf, 6, variance.float())
        features.square().sum().backward()
        assert leaf.grad is not None
        return [features.detach(), leaf.grad]

    same_bytes_with_any_number_of_threads(work)


def test_hostile_positions_give_bounded_features() -> None:
    x = torch.tensor([[1e30, -1e12, 3e7], [float("inf"), 0.0, 1.0]])
    got = NativeCore().frequency_encode(x, 10)
    assert got[:, 3:].abs().max() <= 1 + 1e-6
    assert torch.allclose(got[1, 4:6].double(), x[1, 1:].double().sin(), atol=GRADIENT)


def test_wrong_arguments_are_named() -> None:
    core = NativeCore()
    for frequencies in (-1, 25):
        with pytest.raises(ValueError, match="frequencies must be 0 to 24"):
            core.frequency_encode(torch.rand(5, 3), frequencies)
    with pytest.raises(ValueError, match=r"positions must be \[S, 3\], got \[5, 4\]"):
        core.frequency_encode(torch.rand(5, 4), 2)
    with pytest.raises(ValueError, match=r"variances must be \[S, 3\] with S=5 \(from positions\), got \[4, 3\]"):
        core.frequency_encode(torch.rand(5, 3), 2, torch.rand(4, 3))
    with pytest.raises(TypeError, match=r"positions must be torch\.float32"):
        core.frequency_encode(torch.rand(5, 3).double(), 2)
    with pytest.raises(RuntimeError, match="columns"):
        library().call(
            "nk_frequency_encode_fwd", threads=1, L=2, positions=torch.rand(5, 3), features=torch.empty(5, 14)
        )


def test_powers_are_good_to_single_precision() -> None:
    """Of the cosine of 0 only the power is left: over all of an octave, at whose ends it is hardest."""
    variance = torch.linspace(0.0, 3.0, 30_000).view(-1, 3)
    got = NativeCore().frequency_encode(torch.zeros_like(variance), 1, variance)[:, 6:9].double()
    assert (got / (-0.5 * variance.double()).exp() - 1).abs().max() < 5e-7
