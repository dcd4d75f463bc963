"""Fisheye photos from features to training's undistorted pictures, where the truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import room
import torch
from torch import Tensor

from nerfkit import poses
from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.poses.compare import pose_errors, read_poses

COUNT = 8
FOCAL = 170.0  # pixels: 152 degrees across
DISTORTION = [0.02, -0.01, 0.003, -0.001]


def around(count: int, turn: float = 4.5) -> Tensor:
    """``world_from_cam`` [count, 4, 4] of cameras on an arc, which look across the room."""
    angle = torch.linspace(0, turn, count, dtype=torch.float64)
    eye = torch.stack([1.6 * angle.cos(), 1.2 * angle.sin(), 0.3 * (2 * angle).sin() + 0.1], -1)
    target = torch.stack([0.2 * angle.sin(), -0.2 * angle.cos(), torch.full_like(angle, -0.3)], -1)
    return look_at(eye, target, torch.tensor([0, 0, 1.0], dtype=torch.float64))


@pytest.mark.slow
def test_fisheye_photos_find_their_places_and_train_undistorted(tmp_path: Path) -> None:
    intrinsics = torch.tensor([[FOCAL, FOCAL, 240.0, 180.0]], dtype=torch.float64)
    distortion = torch.tensor([DISTORTION], dtype=torch.float64)
    cameras = Cameras(around(COUNT, 3.5), intrinsics.repeat(COUNT, 1), 480, 360, "fisheye", distortion.repeat(COUNT, 1))
    room.write(tmp_path / "photos", cameras, samples=1)
    out = tmp_path / "poses"
    report = poses.estimate(tmp_path / "photos", out, poses.PoseOptions(quality="draft", camera_model="OPENCV_FISHEYE"))
    assert report.registered == COUNT
    truth = [(f"{index:04d}.jpg", pose) for index, pose in enumerate(cameras.world_from_cam)]
    errors = pose_errors(read_poses(out / "transforms.json"), truth)
    assert errors.position_percent_max < 0.5
    assert errors.rotation_deg_max < 0.3
    data = json.loads((out / "transforms.json").read_text())
    assert data["camera_model"] == "OPENCV_FISHEYE"
    assert abs(data["fl_x"] / FOCAL - 1) < 0.01 and abs(data["fl_y"] / FOCAL - 1) < 0.01

    view = Scene.load(out).views[2]
    assert view.camera.model == "pinhole"
    flat = Cameras(cameras.world_from_cam[2:3], view.camera.intrinsics.double(), view.camera.width, view.camera.height)
    seen = view.image().numpy().astype(float)
    expected = room.draw(flat, 0, room.directions_cam(flat, 1)).astype(float)
    shifted = np.roll(expected, 6, axis=1)
    assert np.abs(seen - expected).mean() < 0.5 * np.abs(seen - shifted).mean()
    assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > 0.85
