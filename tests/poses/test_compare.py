"""Pose errors: what the alignment takes out, and what it must leave."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.poses.compare import pose_errors


def turn(axis: Tensor, degrees: float) -> Tensor:
    x, y, z = (axis / axis.norm()).tolist()
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.matrix_exp(cross * math.radians(degrees))


def some_poses(count: int = 12) -> list[tuple[str, Tensor]]:
    rng = torch.Generator().manual_seed(3)
    poses = torch.eye(4, dtype=torch.float64).repeat(count, 1, 1)
    for pose in poses:
        pose[:3, :3] = turn(torch.randn(3, generator=rng), 90 * float(torch.rand(1, generator=rng)))
        pose[:3, 3] = torch.randn(3, generator=rng, dtype=torch.float64)
    return [(f"{index:04d}.jpg", pose) for index, pose in enumerate(poses)]


def test_a_similarity_is_no_error() -> None:
    reference = some_poses()
    moved = Similarity(7.5, turn(torch.tensor([1.0, 2, 3]), 130), torch.tensor([4.0, 5, -6]))
    errors = pose_errors([(f"elsewhere/{name}", moved.poses(pose)) for name, pose in reference], reference)
    assert errors.photos == 12
    assert errors.rotation_deg_max < 1e-6
    assert errors.position_percent_max < 1e-9


def test_one_wrong_camera_is_the_largest_error_only() -> None:
    reference = some_poses(40)
    estimated = [(name, pose.clone()) for name, pose in reference]
    estimated[5][1][:3, :3] = turn(torch.tensor([0.0, 1, 0]), 3.0) @ estimated[5][1][:3, :3]
    estimated[5][1][:3, 3] += torch.tensor([0.1, 0, 0])
    errors = pose_errors(estimated, reference)
    assert errors.rotation_deg_max == pytest.approx(3, rel=0.05)
    assert errors.rotation_deg_median < 0.1
    places = torch.stack([pose[:3, 3] for _, pose in reference])
    extent = float((places.amax(0) - places.amin(0)).norm())
    assert errors.position_percent_max == pytest.approx(100 * 0.1 / extent, rel=0.1)
    assert errors.position_percent_median < errors.position_percent_max / 5


def test_photos_in_common_only() -> None:
    reference = some_poses()
    assert pose_errors(reference[:5], reference).photos == 5
    with pytest.raises(NerfkitError, match="at least 3 common points, got 2"):
        pose_errors(reference[:2], reference)
