"""The scene frame: focus at the origin, cameras in the unit ball, +Z up, whatever the world frame was."""

from __future__ import annotations

import tracemalloc

import pytest
import torch
from tiny import poses, random_similarity

from nerfkit.data import upright
from nerfkit.data.normalize import focus, scene_from_world

CENTER = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def test_a_ring_of_cameras() -> None:
    similarity = scene_from_world(poses())
    assert torch.allclose(similarity.points(CENTER), torch.zeros(3).double(), atol=1e-9)
    radius = similarity.poses(poses())[:, :3, 3].norm(dim=1).max()
    assert 0.999 < float(radius) <= 1
    assert torch.allclose(similarity.rotation @ UP, UP, atol=1e-3)
    assert torch.linalg.det(similarity.rotation) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(6))
def test_the_world_frame_does_not_matter(seed: int) -> None:
    moved = random_similarity(seed)
    here = scene_from_world(poses()).poses(poses())
    there = scene_from_world(moved.poses(poses())).poses(moved.poses(poses()))
    assert torch.allclose(here, there, atol=1e-8)


def test_one_wild_camera_does_not_move_the_focus() -> None:
    wild = poses(20)
    wild[3, :3, :3] = wild[3, :3, :3] @ torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))
    wild[3, :3, 3] += torch.tensor([0.0, 2.0, 0.5], dtype=torch.float64)
    assert (focus(wild) - CENTER).norm() < 0.05


def test_parallel_cameras_look_at_the_points() -> None:
    flat = torch.eye(4, dtype=torch.float64).repeat(5, 1, 1)
    flat[:, 0, 3] = torch.arange(5).double()
    points = torch.tensor([[2.0, 0.0, 9.0], [2.0, 1.0, 10.0], [2.0, -1.0, 11.0]], dtype=torch.float64)
    assert torch.allclose(focus(flat, points), torch.tensor([2.0, 0.0, 10.0], dtype=torch.float64))
    assert focus(flat)[2] > 0  # and without points, at something in front


def test_a_world_that_is_upright_stays_so() -> None:
    """The cameras' up is a guess, good to a degree or two; a world made upright knows better."""
    rolled = poses()
    for index in range(len(rolled)):
        angle = torch.tensor(0.02 + 0.004 * index)
        turn = torch.eye(4, dtype=torch.float64)
        turn[:2, :2] = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
        rolled[index] = rolled[index] @ turn
    assert torch.equal(scene_from_world(rolled).rotation[2], UP)
    moved = random_similarity(3)
    elsewhere = scene_from_world(moved.poses(rolled)).rotation[2]
    assert 0.9986 < float(elsewhere @ moved.rotation[:, 2]) < 1


@pytest.mark.parametrize("count", [0, 1, 2, 5, 40])
def test_pairs_are_different_and_few(count: int) -> None:
    every = {(i, j) for i in range(count) for j in range(i + 1, count)}
    one, two = upright.some_pairs(count, 100)
    found = set(zip(one.tolist(), two.tolist()))
    assert len(found) == len(one) == min(100, len(every))
    assert found <= every


def test_pairs_of_many_take_little_memory() -> None:
    tracemalloc.start()
    one, two = upright.some_pairs(20_000, 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (one < two).all() and two.max() < 20_000
    assert peak < 2 << 20


def test_photos_of_a_camera_turned_to_portrait() -> None:
    mixed = poses(20)
    turn = torch.tensor([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], dtype=torch.float64)
    mixed[::2] = mixed[::2] @ turn
    moved = random_similarity(1)
    assert torch.allclose(scene_from_world(moved.poses(mixed)).rotation[2], moved.rotation[:, 2], atol=1e-3)
