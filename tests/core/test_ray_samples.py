"""Where rays have samples, against the PyTorch definitions: values, gradients and what is refused."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from core.checks import gradients_are_equal, same_bytes_with_any_number_of_threads
from nerfkit.contracts import Rays, Samples
from nerfkit.core import reference_ray_samples as reference
from nerfkit.core.native import NativeCore


def some_rays(count: int) -> Rays:
    """Inside and outside of the unit cube, some along an axis; exact in float32."""
    rng = torch.Generator().manual_seed(count)
    origins = torch.rand(count, 3, generator=rng) * 3 - 1.5
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=rng), dim=1)
    directions[2::5] = torch.tensor([0.0, 0, 1])
    origins[2::10, :2] = 0.3
    return Rays(origins, directions, torch.zeros(count, dtype=torch.int64))


def exact(rays: Rays) -> Rays:
    return Rays(rays.origins.double(), rays.directions.double(), rays.camera_index)


# --- what of a ray lies in a cube -------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 7, 300])
def test_ranges_equal_reference(count: int) -> None:
    rays = some_rays(count)
    got, expected = NativeCore().ray_ranges(rays, 1.0, 0.05), reference.ray_ranges(exact(rays), 1.0, 0.05)
    assert got.shape == (count, 2)
    hit = expected[:, 1] > expected[:, 0]
    torch.testing.assert_close(got[hit].double(), expected[hit], rtol=1e-5, atol=1e-6)
    assert bool((got[~hit, 0] == got[~hit, 1]).all()) and bool(got.isfinite().all())
    assert count < 300 or 50 < int(hit.sum()) < 290


def test_rays_in_the_plane_of_a_face() -> None:
    origins = torch.tensor([[0.0, 1, -2], [0, 1.1, -2], [0, 0, 0]])
    rays = Rays(origins, torch.tensor([[0.0, 0, 1]]).expand(3, 3), torch.zeros(3, dtype=torch.int64))
    got = NativeCore().ray_ranges(rays, 1.0, 0.25)
    assert torch.equal(got[[0, 2]], torch.tensor([[1.0, 3], [0.25, 1]])) and float(got[1].diff()) == 0


# --- intervals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rays", [0, 1, 5, 65])
@pytest.mark.parametrize("count", [0, 1, 31, 128])
@pytest.mark.parametrize("disparity", [False, True])
def test_intervals_equal_reference(rays: int, count: int, disparity: bool) -> None:
    edges = torch.rand(rays, count + 1, generator=torch.Generator().manual_seed(rays)).sort(1).values * 1.99
    got = NativeCore().intervals(edges, 0.7, disparity)
    expected = reference.intervals(edges.double(), 0.7, disparity)
    assert got.offsets.tolist() == [count * ray for ray in range(rays + 1)]
    assert torch.equal(got.offsets, expected.offsets) and torch.equal(got.ray_index, expected.ray_index)
    for have, want in ((got.t_start, expected.t_start), (got.t_end, expected.t_end)):
        assert have.shape == (rays * count,)
        torch.testing.assert_close(have.double(), want, rtol=2e-5, atol=1e-6)  # 2 - s cancels near 2
    assert not disparity or rays * count < 1000 or float(got.t_end.max()) > 7


def test_infinity_on_the_scale_is_far_away() -> None:
    got = NativeCore().intervals(torch.tensor([[0.5, 1.0, 1.5, 2.0]]), 2.0, True)
    torch.testing.assert_close(got.t_end, torch.tensor([2.0, 4.0, 2e6]))


# --- places -----------------------------------------------------------------------------------------------


def samples_of(counts: list[int]) -> Samples:
    rng = torch.Generator().manual_seed(sum(counts))
    total = sum(counts)
    start = torch.rand(total, generator=rng) * 5
    offsets = torch.tensor([0, *torch.tensor(counts, dtype=torch.int64).cumsum(0).tolist()], dtype=torch.int32)
    index = torch.arange(len(counts), dtype=torch.int32).repeat_interleave(torch.tensor(counts, dtype=torch.int64))
    return Samples(start, start + torch.rand(total, generator=rng), offsets, index)


@pytest.mark.parametrize("counts", [[], [0, 0], [1], [5, 0, 17, 1], [64] * 9])
def test_points_equal_reference(counts: list[int]) -> None:
    rays, samples = some_rays(len(counts)), samples_of(counts)
    got = NativeCore().sample_points(rays, samples)
    of_doubles = Samples(samples.t_start.double(), samples.t_end.double(), samples.offsets, samples.ray_index)
    torch.testing.assert_close(got.double(), reference.sample_points(exact(rays), of_doubles), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("contracted", [False, True])
@pytest.mark.parametrize("count", [0, 1, 15, 300])
def test_cubes_values_and_gradients_equal_reference(count: int, contracted: bool) -> None:
    points = (torch.randn(count, 3, generator=torch.Generator().manual_seed(count)) ** 3).double().requires_grad_()
    fast = points.detach().float().requires_grad_()
    expected = reference.to_cube(points, 0.7, contracted, 0.25, 0.5)
    got = NativeCore().to_cube(fast, 0.7, contracted, 0.25, 0.5)
    torch.testing.assert_close(got.double(), expected, rtol=1e-6, atol=1e-6)
    assert not contracted or bool(((got >= 0) & (got <= 1)).all())
    if count:
        gradients_are_equal(expected, got, [points], [fast])
    assert count < 300 or 50 < int((points.abs().amax(1) > 0.7).sum()) < 290


@pytest.mark.cpu_only
def test_the_reference_of_cubes_by_finite_differences() -> None:
    points = (torch.randn(20, 3, generator=torch.Generator().manual_seed(1)).double() * 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: reference.to_cube(x, 0.7, True, 0.5, 0.0), points)


# --- all --------------------------------------------------------------------------------------------------


@pytest.mark.cpu_only
def test_same_bytes_with_any_number_of_threads() -> None:
    core, rays, samples = NativeCore(), some_rays(200), samples_of([3, 0, 40] * 60)

    def work() -> list[Tensor]:
        points = core.sample_points(rays, samples)
        of_edges = core.intervals(points.sort(1).values, 1.0, True)
        return [core.ray_ranges(rays, 1.0, 0.1), points, core.to_cube(points, 1.0, True, 1.0, 0.0), of_edges.t_start]

    same_bytes_with_any_number_of_threads(work)


def test_wrong_arguments_are_named() -> None:
    core, rays, samples = NativeCore(), some_rays(3), samples_of([2, 2, 2])
    with pytest.raises(RuntimeError, match="a sample for each interval"):
        core.intervals(torch.zeros(3, 0), 1.0, True)
    with pytest.raises(ValueError, match=r"points must be \[S, 3\]"):
        core.to_cube(torch.zeros(4, 2), 1.0, True, 1.0, 0.0)
    with pytest.raises(TypeError, match=r"ray_index must be torch\.int32"):
        core.sample_points(rays, Samples(samples.t_start, samples.t_end, samples.offsets, samples.ray_index.long()))
    with pytest.raises(RuntimeError, match="index must"):
        core.sample_points(rays, Samples(samples.t_start, samples.t_end, samples.offsets, samples.ray_index + 1))
