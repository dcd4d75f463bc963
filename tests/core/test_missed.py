"""What proposed weights don't allow: against what defines it, and the kernel against that."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.checks import gradients_are_equal, same_bytes_with_any_number_of_threads
from nerfkit.core.native import NativeCore
from nerfkit.core.reference_ray_samples import missed


def edges(rays: int, count: int, seed: int) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(rays, count + 1, generator=rng).double().sort(1).values


def weights_of(rays: int, count: int, seed: int) -> Tensor:
    return torch.rand(rays, count, generator=torch.Generator().manual_seed(seed)).double() / max(count, 1)


def test_what_guides_miss_is_what_overlapping_intervals_do_not_allow() -> None:
    coarse, fine, proposed, weights = edges(20, 9, 0), edges(20, 7, 1), weights_of(20, 9, 2), weights_of(20, 7, 3)
    expected = torch.zeros(20, dtype=torch.float64)
    for ray in range(20):
        for i in range(7):
            overlap = (coarse[ray, :-1] < fine[ray, i + 1]) & (coarse[ray, 1:] > fine[ray, i])
            excess = (weights[ray, i] - proposed[ray][overlap].sum()).clamp_min(0)
            expected[ray] += excess**2 / (weights[ray, i] + 1e-7)
    got = missed(coarse, proposed, fine, weights)
    assert float(got.min()) >= 0 and float(got.max()) > 0.01
    torch.testing.assert_close(got, expected)


def test_the_gradient_of_what_is_missed_is_that_of_its_differences() -> None:
    coarse, fine, weights = edges(6, 5, 4), edges(6, 4, 5), weights_of(6, 4, 6)
    proposed = weights_of(6, 5, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: missed(coarse, p, fine, weights), proposed)


@pytest.mark.parametrize("rays", [0, 1, 9, 65])
@pytest.mark.parametrize(("proposed", "finer"), [(1, 1), (1, 7), (64, 31), (128, 64), (5, 200)])
def test_values_and_gradients_equal_reference(rays: int, proposed: int, finer: int) -> None:
    coarse, fine, weights = edges(rays, proposed, 8), edges(rays, finer, 9), weights_of(rays, finer, 10)
    allowed = (0.7 * weights_of(rays, proposed, 11)).requires_grad_()
    fast = allowed.detach().float().requires_grad_()
    expected = missed(coarse, allowed, fine, weights)
    got = NativeCore().missed(coarse.float(), fast, fine.float(), weights.float())
    assert got.shape == (rays,)
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-6)
    if rays:
        assert expected.sum() > 0
        gradients_are_equal(expected, got, [allowed], [fast])


@pytest.mark.parametrize("of", [missed, NativeCore().missed])
def test_a_guide_that_proposes_what_is_there_misses_nothing(of: object) -> None:
    assert callable(of)
    same, weights = edges(5, 8, 12).float(), weights_of(5, 8, 13).float()
    assert float(of(same, weights, same, weights).abs().max()) < 1e-10
    assert float(of(same, 0.9 * weights, same, weights).min()) > 0


@pytest.mark.parametrize("of", [missed, NativeCore().missed])
def test_an_interval_of_no_length_on_an_edge_misses_nothing(of: object) -> None:
    assert callable(of)
    coarse, fine = torch.tensor([[0.0, 0.5, 1.0]]), torch.tensor([[0.0, 0.5, 0.5, 1.0]])
    proposed = torch.tensor([[0.4, 0.6]]).requires_grad_()
    loss = of(coarse, proposed, fine, torch.tensor([[0.4, 0.0, 0.6]]))
    loss.sum().backward()
    assert float(loss.detach()) < 1e-10 and proposed.grad is not None and float(proposed.grad.abs().max()) < 1e-5


def test_it_is_differentiable_in_what_is_proposed_alone() -> None:
    coarse, fine = edges(3, 5, 14).float().requires_grad_(), edges(3, 4, 15).float().requires_grad_()
    proposed, weights = weights_of(3, 5, 16).float().requires_grad_(), weights_of(3, 4, 17).float().requires_grad_()
    NativeCore().missed(coarse, proposed, fine, weights).sum().backward()
    assert proposed.grad is not None and coarse.grad is None and fine.grad is None and weights.grad is None


@pytest.mark.cpu_only
def test_same_bytes_with_any_number_of_threads() -> None:
    coarse, fine, weights = edges(200, 64, 18).float(), edges(200, 31, 19).float(), weights_of(200, 31, 20).float()

    def work() -> list[Tensor]:
        proposed = weights_of(200, 64, 21).float().requires_grad_()
        loss = NativeCore().missed(coarse, proposed, fine, weights)
        loss.sum().backward()
        assert proposed.grad is not None
        return [loss.detach(), proposed.grad]

    same_bytes_with_any_number_of_threads(work)


def test_wrong_arguments_are_named() -> None:
    core = NativeCore()
    coarse, fine, proposed, weights = edges(3, 5, 22), edges(3, 4, 23), weights_of(3, 5, 24), weights_of(3, 4, 25)
    given = [tensor.float() for tensor in (coarse, proposed, fine, weights)]
    with pytest.raises(RuntimeError, match="one column more than the weights between them"):
        core.missed(given[0], given[1][:, 1:], given[2], given[3])
    with pytest.raises(ValueError, match=r"finer must be \[R, M1\] with R=3 \(from edges\), got \[2, 5\]"):
        core.missed(given[0], given[1], given[2][1:], given[3])
    with pytest.raises(TypeError, match=r"weights must be torch\.float32"):
        core.missed(*given[:3], weights)
