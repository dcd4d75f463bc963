"""The hash encoding against its PyTorch reference: values and gradients, dense and hashed levels."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from tolerances import GRADIENT, HALF, VALUE
from torch import Tensor

from core.checks import on_gpu
from core.cores import cores
from nerfkit.contracts import RenderCore
from nerfkit.core import reference_hash_grid
from nerfkit.core._library import library
from nerfkit.core.hash_grid import HashGrid
from nerfkit.core.native import NativeCore


def inputs(grid: HashGrid, samples: int) -> tuple[Tensor, Tensor]:
    """Positions, some of them outside of the grid and on its corners, and a table."""
    rng = torch.Generator().manual_seed(samples)
    positions = torch.rand(samples, 3, generator=rng, dtype=torch.float64) * 1.2 - 0.1
    corners = torch.tensor([[0.0, 0, 0], [1, 1, 1], [1, 0.5, 0]], dtype=torch.float64)
    positions[: min(3, samples)] = corners[:samples]
    return positions.float().double(), torch.randn(grid.entries, grid.features, generator=rng, dtype=torch.float64)


def inputs_along_rays(grid: HashGrid, samples: int) -> tuple[Tensor, Tensor]:
    """Positions one after another on rays of 150 each, with a table.

    They lie ever closer to each other, so that neighbours share a cell on no level at first, on all of them in the end.
    """
    positions, table = inputs(grid, samples)
    ray, along = torch.arange(samples) // 150, torch.arange(samples) % 150
    near, far = positions.clamp(0.05, 0.95)[3 + ray], positions.flip(0).clamp(0.05, 0.95)[ray]
    return (near + (far - near) * 0.97 ** along[:, None].double()).float().double(), table


@cores("nerfkit", "tcnn", "tcnn stand-in")
@pytest.mark.parametrize("samples", [0, 1, 7, 8, 9, 1500])
@pytest.mark.parametrize("features", [1, 2, 4, 8])
def test_values_equal_reference(core: RenderCore, samples: int, features: int) -> None:
    grid = HashGrid(levels=5, features=features, log2_size=9, coarsest=3, finest=70)
    positions, table = inputs(grid, samples)
    expected = reference_hash_grid.hash_encode(positions, table, grid)
    got = core.hash_encode(positions.float(), table.float(), grid)
    assert got.shape == (samples, 5 * features)
    # In single precision a position is known to 6e-8, that is, to 4e-6 of a cell on the finest level.
    assert torch.allclose(got.double(), expected, atol=3 * VALUE)


@cores("nerfkit", "tcnn", "tcnn stand-in")
@pytest.mark.parametrize(("make", "samples"), [(inputs, 1), (inputs, 9), (inputs, 700), (inputs_along_rays, 700)])
@pytest.mark.parametrize("features", [1, 2, 4, 8])
def test_gradients_equal_reference(
    core: RenderCore, make: Callable[[HashGrid, int], tuple[Tensor, Tensor]], samples: int, features: int
) -> None:
    grid = HashGrid(levels=4, features=features, log2_size=8, coarsest=2, finest=33)
    exact = [tensor.clone().requires_grad_() for tensor in make(grid, samples)]
    fast = [tensor.detach().float().requires_grad_() for tensor in exact]
    expected = reference_hash_grid.hash_encode(*exact, grid)
    got = core.hash_encode(*fast, grid)
    v = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (expected * v).sum().backward()
    (got * v.float()).sum().backward()
    for want, have in zip(exact, fast, strict=True):
        assert want.grad is not None and have.grad is not None
        if samples > 3:  # the first three lie on corners, where the gradient of a position has two sides
            assert want.grad.norm() > 0
        rows = slice(3, None) if want is exact[0] else slice(None)
        difference = (have.grad.double() - want.grad)[rows]
        assert difference.norm() <= GRADIENT * want.grad[rows].norm()


@pytest.mark.skipif(not on_gpu(), reason="a float16 table is for a GPU")
@pytest.mark.parametrize("samples", [0, 1, 400])
@pytest.mark.parametrize("features", [1, 2, 4, 8])
def test_tables_of_halfs_equal_reference(samples: int, features: int) -> None:
    grid = HashGrid(levels=4, features=features, log2_size=8, coarsest=2, finest=33)
    positions, table = inputs(grid, samples + 3)  # the first three lie on corners: see above
    exact = [positions[3:].clone().requires_grad_(), table.requires_grad_()]
    fast = [positions[3:].float().requires_grad_(), table.detach().half().requires_grad_()]
    expected, got = reference_hash_grid.hash_encode(*exact, grid), NativeCore().hash_encode(*fast, grid)
    assert got.dtype == torch.float32
    assert (got.double() - expected).norm() <= HALF * expected.norm()
    v = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (expected * v).sum().backward()
    (got * v.float()).sum().backward()
    for want, have, leaf in zip(exact, fast, (torch.float32, torch.float16), strict=True):
        assert want.grad is not None and have.grad is not None
        assert have.grad.dtype == leaf
        assert samples == 0 or want.grad.norm() > 0
        assert (have.grad.double() - want.grad).norm() <= HALF * want.grad.norm()


@pytest.mark.skipif(on_gpu(), reason="a GPU takes it")
def test_tables_of_halfs_are_refused_on_the_cpu() -> None:
    grid = HashGrid(levels=2, log2_size=6, coarsest=2, finest=9)
    with pytest.raises(TypeError, match="a float16 table is for a GPU"):
        NativeCore().hash_encode(torch.rand(5, 3), torch.rand(91, 4).half(), grid)


def test_levels_that_do_not_fit_the_table_are_refused() -> None:
    right = {"resolutions": [2, 9], "offsets": [0, 27, 91]}
    for name, wrong, message in (
        ("offsets", [0, 27, 92], "level 1 has no valid"),
        ("offsets", [0, 27, 90], "level 1 has no valid"),
        ("offsets", [-1, 27, 91], "level 0 has no valid"),
        ("resolutions", [0, 9], "level 0 has no valid"),
        ("offsets", [0, 27], "offsets must have one entry more"),
    ):
        numbers = {key: torch.tensor(value, dtype=torch.int32) for key, value in {**right, name: wrong}.items()}
        arrays = {"positions": torch.rand(5, 3), "features": torch.empty(5, 8)}
        with pytest.raises(RuntimeError, match=message):
            library().call("nk_hash_encode_fwd", **arrays, table=torch.rand(91, 4), **numbers)
    numbers = {key: torch.tensor(value, dtype=torch.int32) for key, value in right.items()}
    both = {"table": torch.rand(91, 4), "half_table": torch.rand(91, 4).half()}
    with pytest.raises(RuntimeError, match="one table"):
        library().call("nk_hash_encode_fwd", **arrays, **both, **numbers)


@pytest.mark.skipif(not on_gpu(), reason="the CPU's library takes any number of levels")
def test_kernels_refuse_more_levels_than_they_take() -> None:
    grid = HashGrid(levels=33, features=1, log2_size=6, coarsest=2, finest=3)
    with pytest.raises(RuntimeError, match="at most 32 levels"):
        NativeCore().hash_encode(torch.rand(5, 3), torch.rand(grid.entries, 1), grid)


@pytest.mark.cpu_only
def test_reference_gradients_equal_finite_differences() -> None:
    grid = HashGrid(levels=2, features=2, log2_size=4, coarsest=1, finest=3)
    positions = torch.tensor([[0.21, 0.43, 0.87], [0.11, 0.72, 0.58]], dtype=torch.float64, requires_grad=True)
    table = torch.randn(grid.entries, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, t: reference_hash_grid.hash_encode(x, t, grid), [positions, table])


def test_resolutions_grow_from_the_coarsest_to_the_finest() -> None:
    grid = HashGrid(levels=16, features=2, log2_size=19, coarsest=16, finest=2048)
    resolutions = grid.resolutions.tolist()
    assert (resolutions[0], resolutions[-1]) == (16, 2048)
    assert all(a < b for a, b in itertools.pairwise(resolutions))
    sizes = grid.offsets.diff().tolist()
    assert sizes[0] == 17**3
    assert sizes[-1] == 1 << 19
    assert HashGrid(levels=1).resolutions.tolist() == [16]


@pytest.mark.cpu_only
def test_same_bytes_with_any_number_of_threads() -> None:
    grid = HashGrid(levels=8, features=4, log2_size=10, coarsest=4, finest=200)
    positions, table = (tensor.float() for tensor in inputs(grid, 3000))

    def gradients(threads: int) -> list[Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            leaves = [positions.clone().requires_grad_(), table.clone().requires_grad_()]
            features = NativeCore().hash_encode(*leaves, grid)
            features.square().sum().backward()
            return [features.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]
        finally:
            torch.set_num_threads(before)

    for one, two in zip(gradients(1), gradients(2), strict=True):
        assert torch.equal(one, two)


def test_hostile_positions_stay_within_the_table() -> None:
    grid = HashGrid(levels=3, features=2, log2_size=6, coarsest=2, finest=9)
    positions = torch.tensor([[float("nan"), 0.5, 0.5], [float("inf"), -float("inf"), 1e30]])
    features = NativeCore().hash_encode(positions, torch.ones(grid.entries, 2), grid)
    assert features.shape == (2, 6)
    assert torch.allclose(features[1], torch.ones(6))


def test_wrong_arguments_are_named() -> None:
    grid = HashGrid(levels=2, log2_size=6, coarsest=2, finest=9)
    with pytest.raises(ValueError, match=r"table must be \[91, 4\], got \[90, 4\]"):
        NativeCore().hash_encode(torch.rand(5, 3), torch.rand(90, 4), grid)
    with pytest.raises(TypeError, match=r"positions must be torch\.float32"):
        NativeCore().hash_encode(torch.rand(5, 3).double(), torch.rand(91, 4), grid)
    odd = HashGrid(levels=2, features=3, log2_size=6, coarsest=2, finest=9)
    with pytest.raises(RuntimeError, match="1, 2, 4 or 8 features"):
        NativeCore().hash_encode(torch.rand(5, 3), torch.rand(91, 3), odd)
