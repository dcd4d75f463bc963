"""From where splats without cameras are seen: objects as a whole, scenes from within their walls."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch.nn.functional import normalize

from nerfkit.splats.vantage import vantage

HALF_ANGLE = math.radians(23.0)


def directions(count: int) -> torch.Tensor:
    return normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(1)), dim=1)


def test_an_object_is_seen_as_a_whole() -> None:
    place = torch.tensor([4.0, -2, 1])
    ball = directions(5000) * torch.rand(5000, 1, generator=torch.Generator().manual_seed(2)) ** (1 / 3)
    middle, distance = vantage(ball * 3 + place, HALF_ANGLE)
    torch.testing.assert_close(middle, place.double(), rtol=0, atol=0.3)
    assert 3.0 < distance * math.sin(HALF_ANGLE) < 3.3


def test_floaters_do_not_push_the_camera_away() -> None:
    ball = directions(5000)
    lonely = torch.cat([ball, directions(20) * 300])
    assert vantage(lonely, HALF_ANGLE)[1] == pytest.approx(vantage(ball, HALF_ANGLE)[1], rel=0.1)


def test_a_room_is_seen_from_within() -> None:
    room = torch.cat([directions(6000) * 0.3, directions(4000) * 5.0])
    distance = vantage(room, HALF_ANGLE)[1]
    assert 0.3 < distance < 4.0


def test_between_them_the_distance_has_no_jumps() -> None:
    dense = directions(8000)
    seen = [vantage(torch.cat([dense, directions(2000) * far]), HALF_ANGLE)[1] for far in torch.arange(1.0, 2.5, 0.02)]
    assert max(max(a / b, b / a) for a, b in pairwise(seen)) < 1.2
    assert max(seen) > 1.5 * min(seen)


def test_one_point_and_none_apart() -> None:
    assert vantage(torch.tensor([[1.0, 2, 3]]), HALF_ANGLE)[1] == 1.0
    assert 0 < vantage(torch.tensor([[0.0, 0, 0]] * 9 + [[1.0, 0, 0]]), HALF_ANGLE)[1] < 10
