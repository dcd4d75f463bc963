"""Ray marching against its PyTorch reference, and against what a grid must mean."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from nerfkit.contracts import Rays
from nerfkit.core import reference_march
from nerfkit.core._library import library
from nerfkit.core.native import NativeCore
from nerfkit.core.occupancy import Occupancy, Steps
from nerfkit.core.packing import SPARE, are_whole, used_of, with_spares


def rays_from(origins: Tensor, towards: Tensor) -> Rays:
    directions = torch.nn.functional.normalize(towards - origins, dim=1)
    return Rays(origins, directions, torch.zeros(len(origins), dtype=torch.int64))


def some_rays(count: int, spread: float) -> tuple[Rays, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(count)
    origins = torch.randn(count, 3, generator=rng) * spread
    rays = rays_from(origins, torch.randn(count, 3, generator=rng) * 0.4)
    near = torch.rand(count, generator=rng) * 0.2
    ranges = torch.stack([near, near + 6 * torch.rand(count, generator=rng)], 1)
    return rays, ranges, torch.rand(count, generator=rng)


def some_grid(levels: int, cells: int, share: float, half: float = 1.0) -> Occupancy:
    rng = torch.Generator().manual_seed(cells)
    return Occupancy.pack(torch.rand(levels, cells, cells, cells, generator=rng) < share, half)


@pytest.mark.parametrize("count", [0, 1, 9, 400])
@pytest.mark.parametrize(
    ("levels", "cells", "share", "cone"),
    [(1, 8, 0.3, 0.0), (1, 32, 0.1, 0.0), (3, 16, 0.2, 0.01), (2, 64, 1.0, 0.05), (4, 16, 0.0, 0.01)],
)
def test_samples_equal_reference(count: int, levels: int, cells: int, share: float, cone: float) -> None:
    """In single precision on both sides: a ray that passes through an edge may see either of two cells."""
    rays, ranges, jitter = some_rays(count, 1.5)
    grid, steps = some_grid(levels, cells, share), Steps(least=0.01, most=0.3, cone=cone)
    expected = reference_march.march(rays, ranges, jitter, grid, steps)
    got = NativeCore().march(rays, ranges, jitter, grid, steps)
    wanted, found = expected.offsets.diff(), got.offsets.diff()
    alike = wanted == found
    assert alike.double().mean() >= 0.97 if count else True
    if share and count > 9:
        assert wanted.sum() > 10 * count, "no samples prove nothing"
    for ray in alike.nonzero()[:, 0].tolist():
        of_want = slice(*expected.offsets[ray : ray + 2].tolist())
        of_got = slice(*got.offsets[ray : ray + 2].tolist())
        assert torch.allclose(got.t_start[of_got], expected.t_start[of_want], atol=2e-4)
        assert torch.allclose(got.t_end[of_got], expected.t_end[of_want], atol=2e-4)
        assert (got.ray_index[of_got] == ray).all()


def test_every_sample_lies_in_an_occupied_cell_and_none_is_missed() -> None:
    rays, ranges, _ = some_rays(200, 0.8)
    grid, steps = some_grid(1, 16, 0.15), Steps(least=0.004, most=0.004)
    got = NativeCore().march(rays, ranges, torch.zeros(200), grid, steps)
    cells = grid.unpack()

    def occupied(ray: Tensor, t: Tensor) -> Tensor:
        points = rays.origins[ray] + t[:, None] * rays.directions[ray]
        index = ((points + 1) * 8).floor().long()
        inside = ((index >= 0) & (index < 16)).all(1)
        x, y, z = index.clamp(0, 15).unbind(1)
        return inside & cells[0, z, y, x]

    middle = (got.t_start + got.t_end) / 2
    assert occupied(got.ray_index.long(), middle).double().mean() > 0.999  # the rest lies on a border
    every = torch.arange(0.002, 6, 0.004)
    ray = torch.arange(200).repeat_interleave(len(every))
    t = ranges[ray, 0] + every.repeat(200)
    wanted = (occupied(ray, t) & (t < ranges[ray, 1] + 0.002)).view(200, -1).sum(1)
    assert ((got.offsets.diff() - wanted).abs() <= 2 + 0.02 * wanted).all()


def test_steps_grow_with_the_distance_within_their_bounds() -> None:
    rays = rays_from(torch.tensor([[-3.9, 0.01, 0.02]]), torch.tensor([[4.0, 0.01, 0.02]]))
    got = NativeCore().march(
        rays, torch.tensor([[0.0, 7.5]]), torch.zeros(1), some_grid(3, 16, 2.0), Steps(0.05, 0.2, 0.04)
    )
    length = got.t_end - got.t_start
    assert torch.allclose(length, (got.t_start * 0.04).clamp(0.05, 0.2), atol=1e-5)
    assert torch.allclose(got.t_start[1:], got.t_end[:-1], atol=1e-6)


def test_the_number_of_samples_is_bounded() -> None:
    rays, ranges, jitter = some_rays(50, 0.2)
    got = NativeCore().march(rays, ranges, jitter, some_grid(1, 8, 2.0), Steps(0.001, 0.001, most_samples=7))
    assert got.offsets.diff().max() == 7


def test_hostile_rays_end() -> None:
    bad = torch.tensor([[float("nan"), 0, 0], [float("inf"), 0, 0], [0, 0, 0], [0, 0, 0]])
    directions = torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 0, 0], [float("nan"), 0, 0]])
    ranges = torch.tensor([[0.0, 5]] * 3 + [[0.0, float("inf")]])
    got = NativeCore().march(
        Rays(bad, directions, torch.zeros(4)), ranges, torch.zeros(4), some_grid(1, 8, 0.5), Steps(0.01, 0.01)
    )
    assert len(got.t_start) == got.offsets[-1] <= 4 * 1024


def test_wrong_arguments_are_named() -> None:
    rays, ranges, jitter = some_rays(5, 1)
    with pytest.raises(RuntimeError, match="steps must be positive"):
        NativeCore().march(rays, ranges, jitter, some_grid(1, 8, 0.5), Steps(0.0, 0.1))
    with pytest.raises(ValueError, match="a multiple of 8"):
        Occupancy.pack(torch.ones(1, 6, 6, 6, dtype=torch.bool), 1.0)
    with pytest.raises(ValueError, match=r"jitter must be \[R\] with R=5"):
        NativeCore().march(rays, ranges, jitter[:3], some_grid(1, 8, 0.5), Steps(0.1, 0.1))


def test_offsets_of_other_rays_are_refused() -> None:
    """They would lead out of the array."""
    rays, ranges, jitter = some_rays(3, 1.5)
    grid = some_grid(1, 8, 1.0)
    arrays = {"origins": rays.origins, "directions": rays.directions, "ranges": ranges, "jitter": jitter}
    samples = {"t_start": torch.empty(4), "t_end": torch.empty(4), "ray_index": torch.empty(4, dtype=torch.int32)}
    with pytest.raises(RuntimeError, match="nk_march_fill: offsets must have one entry more than there are rays"):
        library().call(
            "nk_march_fill", threads=1, K=1, G=8, half=1.0, cone=0.0, least_step=0.1, most_step=0.1, most_samples=9,
            bits=grid.bits, offsets=torch.tensor([0, 2, 4], dtype=torch.int32), **arrays, **samples,
        )  # fmt: skip


@pytest.mark.parametrize("most", [1, 8, 64, 65])
def test_no_more_samples_of_a_ray_than_asked_for_and_the_first_ones(most: int) -> None:
    rays, ranges, jitter = some_rays(200, 0.8)
    grid = some_grid(2, 16, 0.6)
    few, all_of_them = (
        NativeCore().march(rays, ranges, jitter, grid, Steps(least=0.01, most=0.3, most_samples=count))
        for count in (most, 1024)
    )
    counts, whole = few.offsets.diff(), all_of_them.offsets.diff()
    assert torch.equal(counts, whole.clamp_max(most)) and int(counts.max()) == most < int(whole.max())
    assert few.offsets.dtype == torch.int32 and int(few.offsets[-1]) == len(few.t_start) == len(few.ray_index)
    rank = torch.arange(len(all_of_them.t_start)) - all_of_them.offsets[all_of_them.ray_index]
    for name in ("t_start", "t_end", "ray_index"):
        assert torch.equal(getattr(few, name), getattr(all_of_them, name)[rank < most]), name


@pytest.mark.parametrize("share_of_need", [0.0, 0.3, 1.0, 1.7])
@pytest.mark.parametrize("most", [8, 1024])
def test_in_a_room_are_the_samples_that_fit_and_spare_rays_share_the_rest(share_of_need: float, most: int) -> None:
    rays, ranges, jitter = some_rays(300, 0.8)
    grid, steps = some_grid(2, 16, 0.3), Steps(least=0.01, most=0.3, most_samples=most)
    every = NativeCore().march(rays, ranges, jitter, grid, steps)
    need = len(every.t_start)
    assert need > 1000
    room = int(share_of_need * need)
    ranges, jitter = torch.cat([ranges, torch.zeros(SPARE, 2)]), torch.cat([jitter, torch.rand(SPARE)])
    some = NativeCore().march(with_spares(rays), ranges, jitter, grid, steps, room)
    used = min(need, room)
    assert len(some.t_start) == len(some.t_end) == len(some.ray_index) == room == int(some.offsets[-1])
    assert int(used_of(some.offsets)) == used
    assert torch.equal(some.offsets[:301], every.offsets.clamp_max(room)) and some.offsets.dtype == torch.int32
    for name in ("t_start", "t_end", "ray_index"):
        assert torch.equal(getattr(some, name)[:used], getattr(every, name)[:used]), name
    assert not some.t_start[used:].any() and not some.t_end[used:].any() and (some.ray_index[used:] >= 300).all()
    of_spares = some.offsets[300:].diff()
    assert int(of_spares.min()) >= 0 and int(of_spares.max()) <= -(-(room - used) // SPARE)
    whole = are_whole(some.offsets, room)
    assert len(whole) == 300
    assert not whole[every.offsets[1:] > room].any() and whole[every.offsets[1:] < room].all()


def test_a_room_is_filled_as_the_reference_fills_it() -> None:
    rays, ranges, jitter = some_rays(100, 0.8)
    rays, ranges = with_spares(rays), torch.cat([ranges, torch.zeros(SPARE, 2)])
    jitter = torch.cat([jitter, torch.zeros(SPARE)])
    grid, steps = some_grid(1, 16, 1.0), Steps(least=0.02, most=0.3)  # a full grid: no cell's edge matters
    for room in (1000, 30000):
        got = NativeCore().march(rays, ranges, jitter, grid, steps, room)
        expected = reference_march.march(rays, ranges, jitter, grid, steps, room)
        assert torch.equal(got.offsets, expected.offsets) and torch.equal(got.ray_index, expected.ray_index)
        torch.testing.assert_close(got.t_start, expected.t_start, atol=2e-5, rtol=0)
        torch.testing.assert_close(got.t_end, expected.t_end, atol=2e-5, rtol=0)
