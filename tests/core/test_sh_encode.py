"""Spherical harmonics of directions against their PyTorch reference: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tolerances import VALUE
from torch import Tensor

from core.checks import gradients_are_equal, same_bytes_with_any_number_of_threads
from nerfkit.core import reference
from nerfkit.core._library import library
from nerfkit.core.native import NativeCore


def directions(count: int) -> Tensor:
    rng = torch.Generator().manual_seed(count)
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=rng, dtype=torch.float64), dim=1)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 15, 16, 17, 333])
@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_values_and_gradients_equal_reference(count: int, degree: int) -> None:
    exact = directions(count).float().double().requires_grad_()
    fast = exact.detach().float().requires_grad_()
    expected, got = reference.sh_basis(exact, degree), NativeCore().sh_encode(fast, degree)
    assert got.shape == (count, (degree + 1) ** 2)
    assert torch.allclose(got.double(), expected, rtol=0, atol=VALUE)
    if degree == 0:  # a constant: the reference's result does not hang on its input
        got.sum().backward()
        assert fast.grad is not None and not fast.grad.any()
        return
    gradients_are_equal(expected, got, [exact], [fast])
    assert count == 0 or (exact.grad is not None and exact.grad.norm() > 0)


@pytest.mark.cpu_only
def test_reference_is_orthonormal() -> None:
    """The mean of b_i b_j over the sphere is 1 / (4 pi) where i = j, else 0."""
    z, weight = _legendre(8)
    around = torch.arange(16, dtype=torch.float64) * torch.pi / 8
    r = (1 - z * z).sqrt()
    points = torch.stack(
        [r[:, None] * around.cos(), r[:, None] * around.sin(), z[:, None].expand(-1, 16)], -1
    )  # [8, 16, 3]: exact for polynomials of degree 6 and more
    basis = reference.sh_basis(points.reshape(-1, 3), 3)
    products = basis.T @ (basis * (weight[:, None].expand(-1, 16).reshape(-1, 1) / 32))
    assert torch.allclose(products, torch.eye(16, dtype=torch.float64) / (4 * torch.pi), atol=1e-12)


def _legendre(count: int) -> tuple[Tensor, Tensor]:
    x, w = np.polynomial.legendre.leggauss(count)
    return torch.from_numpy(x), torch.from_numpy(w)


@pytest.mark.cpu_only
def test_same_bytes_with_any_number_of_threads() -> None:
    def work() -> list[Tensor]:
        leaf = directions(1000).float().requires_grad_()
        features = NativeCore().sh_encode(leaf, 3)
        features.square().sum().backward()
        assert leaf.grad is not None
        return [features.detach(), leaf.grad]

    same_bytes_with_any_number_of_threads(work)


def test_any_layout_is_taken() -> None:
    columns = directions(9).float().T.contiguous().T
    assert torch.equal(NativeCore().sh_encode(columns, 2), NativeCore().sh_encode(columns.contiguous(), 2))


def test_wrong_arguments_are_named() -> None:
    core = NativeCore()
    for degree in (-1, 4):
        with pytest.raises(ValueError, match="degree must be 0 to 3"):
            core.sh_encode(torch.rand(5, 3), degree)
    with pytest.raises(ValueError, match=r"directions must be \[S, 3\], got \[5, 2\]"):
        core.sh_encode(torch.rand(5, 2), 1)
    with pytest.raises(TypeError, match=r"directions must be torch\.float32"):
        core.sh_encode(torch.rand(5, 3).double(), 1)
    for degree, columns, message in ((2, 8, "columns"), (4, 25, "0, 1, 2 or 3")):
        arrays = {"directions": torch.rand(5, 3), "features": torch.empty(5, columns)}
        with pytest.raises(RuntimeError, match=message):
            library().call("nk_sh_encode_fwd", threads=1, degree=degree, **arrays)
