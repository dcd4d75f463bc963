"""Small multilayer perceptrons against their PyTorch reference: values and gradients."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
import torch
from tolerances import GRADIENT, HALF, VALUE
from torch import Tensor

from core.checks import on_gpu
from nerfkit.core import reference
from nerfkit.core._header import constants
from nerfkit.core._library import library
from nerfkit.core.native import NativeCore
from nerfkit.core.types import Output


def network(samples: int, widths: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Inputs and weights. No hidden unit is so near 0 that rounding to halfs could turn it on or off."""
    rng = torch.Generator().manual_seed(samples + sum(widths))
    matrices = [torch.randn(a * b, generator=rng, dtype=torch.float64) * (2 / a) ** 0.5 for a, b in pairwise(widths)]
    weights = torch.cat(matrices)
    x = torch.empty(0, widths[0], dtype=torch.float64)
    while len(x) < samples:
        drawn = torch.randn(1000, widths[0], generator=rng, dtype=torch.float64)
        x = torch.cat([x, drawn[is_decided(drawn, weights, widths)]])
    return x[:samples], weights


def is_decided(x: Tensor, weights: Tensor, widths: tuple[int, ...]) -> Tensor:
    """[S] whether all of a sample's hidden units are clearly on or off."""
    decided = torch.ones(len(x), dtype=torch.bool)
    used = 0
    for before, after in list(pairwise(widths))[:-1]:
        x = x @ weights[used : used + before * after].view(after, before).T
        used += before * after
        decided &= (x.abs() > 2e-3 * x.square().mean().sqrt()).all(1)
        x = x.relu()
    return decided


def values_are_equal(got: Tensor, expected: Tensor, rtol: float = VALUE) -> None:
    if on_gpu():  # what is multiplied is in half precision
        assert (got.double() - expected).norm() <= HALF * expected.norm()
    else:
        assert torch.allclose(got.double(), expected, atol=10 * VALUE, rtol=rtol)


def gradients_are_equal(exact: Sequence[Tensor], fast: Sequence[Tensor], samples: int) -> None:
    for want, have in zip(exact, fast, strict=True):
        assert want.grad is not None and have.grad is not None
        assert samples < 15 or want.grad.norm() > 0
        tolerance = HALF if on_gpu() else GRADIENT
        assert (have.grad.double() - want.grad).norm() <= tolerance * want.grad.norm()


@pytest.mark.parametrize("samples", [0, 1, 15, 16, 17, 333])
@pytest.mark.parametrize("widths", [(1, 1), (3, 5), (32, 64, 16), (31, 64, 64, 3), (7, 17, 33, 128, 2)])
def test_values_and_gradients_equal_reference(samples: int, widths: tuple[int, ...]) -> None:
    exact = [tensor.requires_grad_() for tensor in network(samples, widths)]
    fast = [tensor.detach().float().requires_grad_() for tensor in exact]
    expected, got = reference.mlp(*exact, widths), NativeCore().mlp(*fast, widths)
    assert got.shape == (samples, widths[-1])
    values_are_equal(got, expected)
    v = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (expected * v).sum().backward()
    (got * v.float()).sum().backward()
    gradients_are_equal(exact, fast, samples)


@pytest.mark.parametrize("samples", [0, 1, 31, 32, 333])
@pytest.mark.parametrize("own", [1, 16])
def test_values_and_gradients_equal_reference_with_shared_inputs(samples: int, own: int) -> None:
    rng = torch.Generator().manual_seed(samples)
    widths = (own + 16, 32, 3)
    x, weights = network(500, widths)
    index = torch.randint(0, 7, (500,), generator=rng, dtype=torch.int32)
    rows = torch.randn(7, 16, generator=rng, dtype=torch.float64)
    decided = is_decided(torch.cat([x[:, :own], rows[index]], 1), weights, widths).nonzero()[:samples, 0]
    assert len(decided) == samples
    index, leaves = index[decided], [x[decided, :own], weights, rows]
    exact = [tensor.requires_grad_() for tensor in leaves]
    fast = [tensor.detach().float().requires_grad_() for tensor in leaves]
    expected = reference.mlp(exact[0], exact[1], widths, exact[2], index)
    got = NativeCore().mlp(fast[0], fast[1], widths, fast[2], index)
    values_are_equal(got, expected)
    expected.square().sum().backward()
    got.square().sum().backward()
    gradients_are_equal(exact, fast, samples)


@pytest.mark.parametrize("output", ["linear", "relu", "exp", "sigmoid"])
@pytest.mark.parametrize("samples", [1, 70])
def test_values_and_gradients_equal_reference_behind_every_output(output: Output, samples: int) -> None:
    widths = (8, 32, 5)
    exact = [tensor.requires_grad_() for tensor in network(samples, widths)]
    fast = [tensor.detach().float().requires_grad_() for tensor in exact]
    expected = reference.mlp(*exact, widths, output=output)
    got = NativeCore().mlp(*fast, widths, output=output)
    values_are_equal(got, expected, rtol=10 * VALUE)
    expected.square().sum().backward()
    got.square().sum().backward()
    gradients_are_equal(exact, fast, samples)


@pytest.mark.parametrize("output", ["exp", "sigmoid"])
def test_outputs_stay_finite(output: Output) -> None:
    x, one = torch.tensor([[-1e4], [1e4]]), torch.ones(1)
    got = NativeCore().mlp(x, one, (1, 1), output=output)
    assert got.isfinite().all()
    assert float(got[0]) < 1e-37
    assert float(got[1]) == 1 if output == "sigmoid" else float(got[1]) > 1e38


@pytest.mark.cpu_only
def test_shared_rows_out_of_range_are_refused() -> None:
    x, weights = (tensor.float() for tensor in network(5, (4, 8, 3)))
    with pytest.raises(TypeError, match="together"):
        NativeCore().mlp(x, weights, (4, 8, 3), torch.randn(2, 2))
    for wrong in (-1, 2):
        with pytest.raises(ValueError, match="index"):
            NativeCore().mlp(
                x[:, :2], weights, (4, 8, 3), torch.randn(2, 2), torch.full((5,), wrong, dtype=torch.int32)
            )


@pytest.mark.parametrize("output", ["linear", "relu", "exp", "sigmoid"])
@pytest.mark.parametrize("size", [1e-7, 1e-30, 1e5])
def test_gradients_of_any_size_are_right(output: Output, size: float) -> None:
    """A half holds neither: 6e-8 is the smallest there is, 65504 the largest."""
    widths = (8, 32, 32, 5)
    x, weights = network(90, widths)
    exact = [tensor.requires_grad_() for tensor in (0.3 * x, weights)]
    fast = [tensor.detach().float().requires_grad_() for tensor in exact]
    v = torch.randn(90, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * size
    reference.mlp(*exact, widths, output=output).backward(v)
    NativeCore().mlp(*fast, widths, output=output).backward(v.float())
    gradients_are_equal(exact, fast, 90)


@pytest.mark.parametrize("output", ["linear", "relu", "exp", "sigmoid"])
def test_no_gradient_gives_none(output: Output) -> None:
    fast = [tensor.float().requires_grad_() for tensor in network(40, (8, 32, 5))]
    got = NativeCore().mlp(*fast, (8, 32, 5), output=output)
    got.backward(torch.zeros_like(got))
    for leaf in fast:
        assert leaf.grad is not None and torch.equal(leaf.grad, torch.zeros_like(leaf))


def test_gradients_that_differ_from_batch_to_batch_are_right() -> None:
    widths = (16, 32, 4)
    exact = [tensor.requires_grad_() for tensor in network(600, widths)]
    fast = [tensor.detach().float().requires_grad_() for tensor in exact]
    v = torch.randn(600, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    v *= 10 ** torch.linspace(-12, 6, 600, dtype=torch.float64)[:, None]
    reference.mlp(*exact, widths).backward(v)
    NativeCore().mlp(*fast, widths).backward(v.float())
    gradients_are_equal(exact, fast, 600)
    want, have = exact[0].grad, fast[0].grad
    assert want is not None and have is not None
    first = slice(0, 128)
    assert (have[first].double() - want[first]).norm() <= (HALF if on_gpu() else GRADIENT) * want[first].norm()


def test_inputs_beyond_half_precision_do_not_become_infinite() -> None:
    x = torch.tensor([[1e6, -1e6], [1e38, 1.0]], requires_grad=True)
    weights = torch.tensor([1.0, 0.5, -0.5, 1.0, 1.0, 1.0], requires_grad=True)
    got = NativeCore().mlp(x, weights, (2, 2, 1))
    got.sum().backward()
    assert x.grad is not None and weights.grad is not None
    assert all(tensor.isfinite().all() for tensor in (got, x.grad, weights.grad))
    assert (got > 3e4).all()


@pytest.mark.parametrize("widths", [(20, 200, 3), (4, *[16] * 14, 2), (128, *[128] * 12)])
def test_networks_as_wide_and_deep_as_kernels_take_and_beyond(widths: tuple[int, ...]) -> None:
    exact = [tensor.requires_grad_() for tensor in network(21, widths)]
    fast = [tensor.detach().float().requires_grad_() for tensor in exact]
    expected, got = reference.mlp(*exact, widths), NativeCore().mlp(*fast, widths)
    values_are_equal(got, expected, rtol=10 * VALUE)
    expected.sum().backward()
    got.sum().backward()
    gradients_are_equal(exact, fast, 21)


@pytest.mark.skipif(not on_gpu(), reason="the CPU's library takes any width")
def test_kernels_refuse_what_they_have_no_room_for() -> None:
    limit = int(constants()["MLP_MOST_WIDTH"])
    for widths in ((4, limit + 1, 3), (4, *[4] * int(constants()["MLP_MOST_LAYERS"]), 3)):
        x, weights = (tensor.float() for tensor in network(5, widths))
        with pytest.raises(RuntimeError, match="at most 12 layers with widths of at most 128"):
            library().call(
                "nk_mlp_fwd", input=x, weights=weights, widths=torch.tensor(widths, dtype=torch.int32), activation=0,
                output=torch.empty(5, 3), J=0,
            )  # fmt: skip


@pytest.mark.skipif(not on_gpu(), reason="on the CPU Python looks at the index")
def test_kernels_report_shared_rows_that_are_not_there() -> None:
    x, weights = (tensor.float() for tensor in network(20, (4, 8, 3)))
    index = torch.zeros(20, dtype=torch.int32)
    for wrong in (-1, 2):
        index[17] = wrong
        arrays = {
            "input": x[:, :2].contiguous(), "shared": torch.randn(2, 2), "index": index, "weights": weights,
            "widths": torch.tensor((4, 8, 3), dtype=torch.int32),
        }  # fmt: skip
        with pytest.raises(RuntimeError, match=f"index must be 0 to 1, got {wrong} for sample 17"):
            library().call("nk_mlp_fwd", **arrays, activation=0, output=torch.empty(20, 3))
        with pytest.raises(RuntimeError, match=f"index must be 0 to 1, got {wrong} for sample 17"):
            library().call(
                "nk_mlp_bwd", **arrays, activation=0, grad_output=torch.ones(20, 3), grad_weights=torch.empty(56)
            )


@pytest.mark.cpu_only
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
