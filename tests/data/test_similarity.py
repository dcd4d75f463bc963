"""Similarities form a group, move rigid poses rigidly, and are found again from points."""

from __future__ import annotations

import json

import pytest
import torch
from tiny import poses, random_similarity

from nerfkit.data.similarity import Similarity, align
from nerfkit.errors import NerfkitError


def close(a: Similarity, b: Similarity) -> bool:
    return torch.allclose(a.matrix, b.matrix, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_group_axioms(seed: int) -> None:
    a, b, c = (random_similarity(3 * seed + offset) for offset in range(3))
    identity = Similarity.identity()
    assert close(a.compose(b.compose(c)), a.compose(b).compose(c))
    assert close(a.compose(identity), a) and close(identity.compose(a), a)
    assert close(a.compose(a.inverse()), identity) and close(a.inverse().compose(a), identity)
    assert torch.allclose(a.compose(b).matrix, a.matrix @ b.matrix)


def test_points_and_poses_move_alike() -> None:
    moved, world_from_cam = random_similarity(7), poses()
    found = moved.poses(world_from_cam)
    x_cam = torch.tensor([0.3, -0.2, 2.0], dtype=torch.float64)
    x_world = world_from_cam[:, :3, :3] @ x_cam + world_from_cam[:, :3, 3]
    assert torch.allclose(found[:, :3, :3] @ (moved.scale * x_cam) + found[:, :3, 3], moved.points(x_world))
    assert torch.allclose(found[:, :3, :3] @ found[:, :3, :3].mT, torch.eye(3).double().expand(10, 3, 3))


def test_json_is_exact() -> None:
    similarity = random_similarity(3)
    found = Similarity.from_json(json.loads(json.dumps(similarity.to_json())))
    assert torch.equal(found.matrix, similarity.matrix)


@pytest.mark.parametrize("seed", range(5))
def test_align_finds_the_similarity(seed: int) -> None:
    truth = random_similarity(seed)
    a = torch.randn(12, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    assert close(align(a, truth.points(a)), truth)
    flat = a * torch.tensor([1.0, 1.0, 0.0])  # points in a plane still have one answer, without mirroring
    assert close(align(flat, truth.points(flat)), truth)


def test_align_is_the_least_squares_answer() -> None:
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(20, 3, generator=rng, dtype=torch.float64)
    b = random_similarity(1).points(a) + 0.1 * torch.randn(20, 3, generator=rng, dtype=torch.float64)
    best = align(a, b)

    def error(similarity: Similarity) -> float:
        return float((similarity.points(a) - b).square().sum())

    for seed in range(20):
        nudge = random_similarity(seed)
        axis = torch.linalg.matrix_exp(1e-3 * (nudge.rotation - nudge.rotation.T))
        other = Similarity(
            best.scale * (1 + 1e-4 * (seed - 10)), axis @ best.rotation, best.translation + 1e-4 * nudge.translation
        )
        assert error(other) > error(best)


def test_align_without_scale() -> None:
    a = torch.randn(8, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    truth = random_similarity(2)
    found = align(a, truth.points(a), with_scale=False)
    assert found.scale == 1
    assert torch.allclose(found.rotation, truth.rotation)


def test_align_refuses_too_little() -> None:
    with pytest.raises(NerfkitError, match="at least 3"):
        align(torch.rand(2, 3), torch.rand(2, 3))
    line = torch.arange(5.0)[:, None] * torch.tensor([1.0, 2.0, 3.0])
    with pytest.raises(NerfkitError, match="one line"):
        align(line, line)
