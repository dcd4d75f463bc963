"""Inverse transform sampling against its PyTorch reference, and against what it stands for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.checks import same_bytes_with_any_number_of_threads
from nerfkit.core._library import library
from nerfkit.core.native import NativeCore
from nerfkit.core.reference_resample import resample


def inputs(rays: int, intervals: int, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """Densities with empty intervals, empty rays, and rays whose weight lies in one interval; exact in float32."""
    rng = torch.Generator().manual_seed(rays + intervals + samples)
    edges = 0.1 + torch.rand(rays, intervals + 1, generator=rng).cumsum(1)
    weights = torch.rand(rays, intervals, generator=rng)
    weights = weights * (torch.rand(rays, intervals, generator=rng) < 0.6)
    weights[1::4] = 0
    weights[2::4, 1:] = 0
    return edges.double(), weights.double(), torch.rand(rays, samples, generator=rng).sort(1).values.double()


@pytest.mark.parametrize("rays", [0, 1, 7, 65])
@pytest.mark.parametrize("intervals", [1, 2, 63, 64, 300])
@pytest.mark.parametrize("samples", [0, 1, 17, 128])
def test_distances_equal_reference(rays: int, intervals: int, samples: int) -> None:
    exact = inputs(rays, intervals, samples)
    got = NativeCore().resample(*(tensor.float() for tensor in exact))
    assert got.shape == (rays, samples)
    expected = resample(*exact)
    assert torch.allclose(got.double(), expected, rtol=1e-6, atol=1e-6)
    assert (got.diff(dim=1) >= 0).all()
    assert (got >= exact[0][:, :1]).all() and (got <= exact[0][:, -1:]).all()
    assert got.numel() <= 1 or got.std() > 0


def test_distribution_of_the_distances_is_that_of_the_weights() -> None:
    edges, weights = torch.tensor([[0.0, 1.0, 3.0, 3.5]]), torch.tensor([[1.0, 0.0, 3.0]])
    u = (torch.arange(8000) + 0.5)[None] / 8000
    t = NativeCore().resample(edges, weights, u)[0]
    counts = torch.histogram(t, edges[0]).hist / 8000
    assert torch.allclose(counts, torch.tensor([0.25, 0.0, 0.75]), atol=3e-4)
    assert abs(t[t < 1].mean() - 0.5) < 1e-3  # even within an interval


def test_an_empty_ray_is_sampled_evenly_by_interval() -> None:
    edges, u = torch.tensor([[0.0, 1.0, 3.0, 3.5]]), torch.tensor([[0.0, 1 / 6, 0.5, 5 / 6]])
    got = NativeCore().resample(edges, torch.zeros(1, 3), u)
    assert torch.allclose(got, torch.tensor([[0.0, 0.5, 2.0, 3.25]]))


def test_the_ends_of_u_are_the_ends_of_the_ray() -> None:
    edges, weights, _ = (tensor.float() for tensor in inputs(9, 20, 0))
    u = torch.tensor([0.0, torch.nextafter(torch.ones(1), torch.zeros(1)).item(), 1.0]).expand(9, 3)
    got = NativeCore().resample(edges, weights, u)
    assert torch.equal(got[:, 0], edges[:, 0])
    assert torch.equal(got[:, 2], edges[:, -1])


def test_hostile_weights_give_distances_on_the_ray() -> None:
    edges = torch.linspace(1, 2, 6).expand(4, 6).contiguous()
    weights = torch.ones(4, 5)
    weights[0, 2], weights[1, 2], weights[2, 2], weights[3] = float("nan"), float("inf"), -1, 1e38
    got = NativeCore().resample(edges, weights, torch.linspace(0, 0.99, 11).expand(4, 11))
    assert ((got >= 1) & (got <= 2)).all()


def test_the_result_carries_no_gradient() -> None:
    edges, weights, u = (tensor.float() for tensor in inputs(3, 8, 4))
    assert not NativeCore().resample(edges, weights.requires_grad_(), u).requires_grad


@pytest.mark.cpu_only
def test_same_bytes_with_any_number_of_threads() -> None:
    asked = [tensor.float() for tensor in inputs(200, 40, 30)]
    same_bytes_with_any_number_of_threads(lambda: [NativeCore().resample(*asked)])


def test_wrong_arguments_are_named() -> None:
    core = NativeCore()
    edges, weights, u = (tensor.float() for tensor in inputs(4, 6, 5))
    with pytest.raises(RuntimeError, match="one more column than weights"):
        core.resample(edges[:, :-1], weights, u)
    with pytest.raises(RuntimeError, match="one more column than weights, which must have at least one"):
        core.resample(edges[:, :1], weights[:, :0], u)
    with pytest.raises(RuntimeError, match="u must ascend in every row"):
        core.resample(edges, weights, u.flip(1))
    with pytest.raises(ValueError, match=r"weights must be \[R, N\] with R=4 \(from edges\), got \[3, 6\]"):
        core.resample(edges, weights[:3], u)
    with pytest.raises(ValueError, match=r"u must be \[R, M\] with R=4 \(from edges\), got \[3, 5\]"):
        core.resample(edges, weights, u[:3])
    with pytest.raises(TypeError, match=r"u must be torch\.float32"):
        core.resample(edges, weights, u.double())
    with pytest.raises(ValueError, match=r"t must be \[R, M\]"):
        library().call("nk_resample", threads=1, edges=edges, weights=weights, u=u, t=torch.empty(4, 6))
