"""Worlds of survey coordinates, which single precision has no centimetres of."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from nerfkit.contracts import Gaussians
from nerfkit.data.similarity import Similarity
from nerfkit.far_world import Near
from nerfkit.splats import edit
from nerfkit.splats.options import SplatOptions
from nerfkit.splats.stream import load, stream
from nerfkit.splats.transform import transform

UTM = (500_012.0, 5_400_034.0, 131.0)
QUARTER = [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def world(scale: float, place: tuple[float, float, float]) -> Similarity:
    return Similarity(scale, torch.tensor(QUARTER).double(), torch.tensor(place).double())


def some(n: int = 400) -> Gaussians:
    rng = torch.Generator().manual_seed(3)
    means, quats = torch.randn(n, 3, generator=rng), torch.randn(n, 4, generator=rng)
    return Gaussians(means, quats, torch.full((n, 3), 0.01), torch.full((n,), 0.5), torch.zeros(n, 4, 3))


@pytest.mark.parametrize(
    ("scale", "place", "offset"),
    [
        (1.3, UTM, [500_000, 5_400_000, 100]),
        (0.02, UTM, [500_012, 5_400_034, 131]),
        (130.0, UTM, [500_000, 5_400_000, 0]),
        (1e4, UTM, None),  # a country
        (1.3, (300.0, -200.0, 0.0), None),
        (1e-4, (0.01, 0.0, 0.0), None),
        (1e-4, (20.0, 0.0, 0.0), [20, 0, 0]),
    ],
)
def test_the_offset_is_of_round_numbers(
    scale: float, place: tuple[float, float, float], offset: list[float] | None
) -> None:
    given = world(scale, place)
    near = Near.of(given)
    assert near.to_json() == (None if offset is None else pytest.approx(offset))
    torch.testing.assert_close(near.out_from_scene.translation + near.away, given.translation, rtol=0, atol=1e-6)
    scene = some().means
    placed = near.out_from_scene.points(scene).double() + near.away
    torch.testing.assert_close(placed, given.points(scene.double()), rtol=0, atol=2e-4 * scale)


@pytest.mark.parametrize(
    "moves",
    [
        {},
        {"rotate": (0.0, 0.0, 30.0), "scale": 2.0},
        {"translate": (-500_000.0, -5_400_000.0, -100.0)},  # the user's own offset
        {"translate": (7.0, 8.0, 9.0)},
    ],
)
@pytest.mark.parametrize("place", [UTM, (0.5, 0.0, 0.2)])
def test_edits_are_those_of_the_world(moves: dict[str, object], place: tuple[float, float, float]) -> None:
    """A crop, a turn, a size and a move by the world's coordinates, as they would be in double precision."""
    given, scene = world(2.0, place), some()
    x, y, z = place
    options = SplatOptions(crop_box=(x - 1, y - 2, z - 3, x + 1, y + 2, z + 3), crop_sphere=(x, y, z, 2.5))
    options = replace(options, **moves)
    options.check()
    near, start, made = options.near(given)
    kept, taken = near.kept(stream(transform(scene, start.out_from_scene)))
    found = load(near.moved(kept)).means.double() + made.away

    exact = given.points(scene.means.double())
    offset = exact - given.translation
    inside = (offset.abs() <= torch.tensor([1.0, 2.0, 3.0]).double()).all(1) & (offset.norm(dim=1) <= 2.5)
    assert 20 < int(inside.sum()) < 300 and taken["cropped"] == int((~inside).sum())
    wanted = edit.similarity(options.rotate, options.translate, options.scale).points(exact[inside])
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-4)


def test_a_near_world_is_left_as_it_is() -> None:
    options = SplatOptions(crop_sphere=(0, 0, 0, 2.0), rotate=(10.0, 0, 0), translate=(0.1, 0.2, 0.3))
    assert options.near(world(1.0, (0.5, 0.0, 0.2)))[0] == options
