"""Small multilayer perceptrons against their PyTorch reference: values and gradients."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from tolerances import GRADIENT, VALUE
from torch import Tensor

from nerfkit.core import reference
from nerfkit.core.native import NativeCore
from nerfkit.core.types import Output


def network(samples: int, widths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(samples + sum(widths))
    matrices = [torch.randn(a * b, generator=rng, dtype=torch.float64) * (2 / a) ** 0.5 for a, b in pairwise(widths)]
    return torch.randn(samples, widths[0], generator=rng, dtype=torch.float64), torch.cat(matrices)


@pytest.mark.parametrize("samples", [0, 1, 15, 16, 17, 333])
@pytest.mark.parametrize("widths", [(1, 1), (3, 5), (32, 64, 16), (31, 64, 64, 3), (7, 17, 33, 128, 2)])
def test_values_and_gradients_equal_reference(samples: int, widths: tuple[int, ...]) -> None:
    exact = [tensor.requires_grad_() for tensor in network(samples, widths)]
    fast = [tensor.detach().float().requires_grad_() for tensor in exact]
    expected, got = reference.mlp(*exact, widths), NativeCore().mlp(*fast, widths)
    assert got.shape == (samples, widths[-1])
    assert torch.allclose(got.double(), expected, atol=10 * VALUE, rtol=VALUE)
    v = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (expected * v).sum().backward()
    (got * v.float()).sum().backward()
    for want, have in zip(exact, fast, strict=True):
        assert want.grad is not None and have.grad is not None
        assert samples < 15 or want.grad.norm() > 0
        assert (have.grad.double() - want.grad).norm() <= GRADIENT * want.grad.norm()


@pytest.mark.parametrize("samples", [0, 1, 31, 32, 333])
@pytest.mark.parametrize("own", [1, 16])
def test_values_and_gradients_equal_reference_with_shared_inputs(samples: int, own: int) -> None:
    rng = torch.Generator().manual_seed(samples)
    x, weights = network(samples, (own + 16, 32, 3))
    index = torch.randint(0, 7, (samples,), generator=rng, dtype=torch.int32)
    leaves = [x[:, :own].clone(), weights, torch.randn(7, 16, generator=rng, dtype=torch.float64)]
    exact = [tensor.requires_grad_() for tensor in leaves]
    fast = [tensor.detach().float().requires_grad_() for tensor in leaves]
    expected = reference.mlp(exact[0], exact[1], (own + 16, 32, 3), exact[2], index)
    got = NativeCore().mlp(fast[0], fast[1], (own + 16, 32, 3), fast[2], index)
    assert torch.allclose(got.double(), expected, atol=10 * VALUE, rtol=VALUE)
    expected.square().sum().backward()
    got.square().sum().backward()
    for want, have in zip(exact, fast, strict=True):
        assert want.grad is not None and have.grad is not None
        assert samples < 15 or want.grad.norm() > 0
        assert (have.grad.double() - want.grad).norm() <= GRADIENT * want.grad.norm()


@pytest.mark.parametrize("output", ["linear", "relu", "exp", "sigmoid"])
@pytest.mark.parametrize("samples", [1, 70])
def test_values_and_gradients_equal_reference_behind_every_output(output: Output, samples: int) -> None:
    widths = (8, 32, 5)
    exact = [tensor.requires_grad_() for tensor in network(samples, widths)]
    fast = [tensor.detach().float().requires_grad_() for tensor in exact]
    expected = reference.mlp(*exact, widths, output=output)
    got = NativeCore().mlp(*fast, widths, output=output)
    assert torch.allclose(got.double(), expected, atol=10 * VALUE, rtol=10 * VALUE)
    expected.square().sum().backward()
    got.square().sum().backward()
    for want, have in zip(exact, fast, strict=True):
        assert want.grad is not None and have.grad is not None
        assert samples == 1 or want.grad.norm() > 0
        assert (have.grad.double() - want.grad).norm() <= GRADIENT * want.grad.norm()


@pytest.mark.parametrize("output", ["exp", "sigmoid"])
def test_outputs_stay_finite(output: Output) -> None:
    x, one = torch.tensor([[-1e4], [1e4]]), torch.ones(1)
    got = NativeCore().mlp(x, one, (1, 1), output=output)
    assert got.isfinite().all()
    assert float(got[0]) < 1e-37
    assert float(got[1]) == 1 if output == "sigmoid" else float(got[1]) > 1e38


def test_shared_rows_out_of_range_are_refused() -> None:
    x, weights = (tensor.float() for tensor in network(5, (4, 8, 3)))
    with pytest.raises(TypeError, match="together"):
        NativeCore().mlp(x, weights, (4, 8, 3), torch.randn(2, 2))
    for wrong in (-1, 2):
        with pytest.raises(ValueError, match="index"):
            NativeCore().mlp(
                x[:, :2], weights, (4, 8, 3), torch.randn(2, 2), torch.full((5,), wrong, dtype=torch.int32)
            )


def test_reference_is_that_of_torch() -> None:
    widths = (4, 8, 3)
    x, weights = network(6, widths)
    layers = torch.nn.Sequential(torch.nn.Linear(4, 8, False), torch.nn.ReLU(), torch.nn.Linear(8, 3, False)).double()
    with torch.no_grad():
        layers[0].weight.copy_(weights[:32].view(8, 4))
        layers[2].weight.copy_(weights[32:].view(3, 8))
    assert torch.allclose(reference.mlp(x, weights, widths), layers(x))


def test_weights_alone_may_be_wanted_and_bytes_repeat() -> None:
    widths = (32, 64, 64, 4)
    x, weights = (tensor.float() for tensor in network(500, widths))

    def gradient() -> Tensor:
        leaf = weights.clone().requires_grad_()
        NativeCore().mlp(x, leaf, widths).square().sum().backward()
        assert leaf.grad is not None
        return leaf.grad

    assert torch.equal(gradient(), gradient())


def test_wrong_sizes_are_refused() -> None:
    x, weights = (tensor.float() for tensor in network(5, (4, 8, 3)))
    for widths in ((4, 8, 4), (5, 8, 3), (4, 9, 3), (3,), (4, 0, 3)):
        with pytest.raises(RuntimeError, match="widths"):
            NativeCore().mlp(x, weights, widths)
