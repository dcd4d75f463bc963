"""Projection and rays of all camera models, in float64, against OpenCV where it has the model."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from nerfkit.cameras import distort, look_at, pixel_centers, project, rays, resize, undistort
from nerfkit.contracts import CameraModel, Cameras

DISTORTION: dict[CameraModel, list[float] | None] = {
    "pinhole": None,
    "opencv": [-0.12, 0.03, 0.002, -0.003],
    "fisheye": [0.04, -0.02, 0.005, -0.001],
    "equirect": None,
}
EYES = torch.tensor([[3.0, 1.0, 0.5], [-1.0, 2.5, 1.0]], dtype=torch.float64)
UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


def cameras(model: CameraModel, focal: float = 70.0) -> Cameras:
    poses = look_at(EYES, torch.zeros(3, dtype=torch.float64), UP)
    k = torch.tensor([[focal, focal + 2, 50.5, 38.0], [focal - 1, focal, 47.0, 41.0]], dtype=torch.float64)
    values = DISTORTION[model]
    distortion = None if values is None else torch.tensor([values, values], dtype=torch.float64)
    return Cameras(poses, k, 96, 80, model, distortion)


@pytest.mark.parametrize("model", DISTORTION)
def test_projecting_a_point_on_a_ray_gives_the_rays_pixel(model: CameraModel) -> None:
    c = cameras(model)
    pixels = pixel_centers(c.width, c.height, torch.float64)[::3, ::3].reshape(-1, 2)
    for index in range(len(c)):
        bundle = rays(c, torch.full((len(pixels),), index), pixels)
        assert torch.allclose(bundle.directions.norm(dim=-1), torch.ones(len(pixels), dtype=torch.float64))
        distance = torch.linspace(0.5, 9, len(pixels), dtype=torch.float64)[:, None]
        found, _ = project(c, bundle.origins + distance * bundle.directions)
        assert (found[index] - pixels).abs().max() < 1e-8


@pytest.mark.parametrize("degrees", [10, 45, 70, 85])
def test_wide_fisheye_angles_are_undistorted(degrees: float) -> None:
    c = cameras("fisheye")[0]
    around = torch.linspace(0, 6, 24, dtype=torch.float64)
    xy = np.tan(np.radians(degrees)) * torch.stack([around.cos(), around.sin()], -1)[None]
    found = undistort(c, distort(c, xy))
    assert (found - xy).abs().max() < 1e-8 * xy.abs().max()


def test_projection_equals_opencvs() -> None:
    c, x = cameras("opencv"), points()
    for index in range(len(c)):
        truth, _ = cv2.projectPoints(x.numpy(), *_extrinsics(c, index), _k(c, index), np.array(DISTORTION["opencv"]))
        assert np.abs(project(c, x)[0][index].numpy() - truth[:, 0]).max() < 1e-9


def test_fisheye_projection_equals_opencvs() -> None:
    c, x = cameras("fisheye"), points()
    for index in range(len(c)):
        r, t = _extrinsics(c, index)
        truth, _ = cv2.fisheye.projectPoints(x.numpy()[:, None], r, t, _k(c, index), np.array(DISTORTION["fisheye"]))
        assert np.abs(project(c, x)[0][index].numpy() - truth[:, 0]).max() < 1e-9


def test_equirect_axes() -> None:
    """The middle of the panorama looks forward, a quarter to its right looks right, its bottom looks down."""
    c = Cameras(torch.eye(4).double()[None], torch.ones(1, 4).double(), 400, 200, "equirect")
    pixels, _ = project(c, torch.tensor([[0, 0, 2.0], [3, 0, 0], [0, 5, 0]], dtype=torch.float64))
    assert torch.allclose(pixels[0, :2], torch.tensor([[200, 100], [300, 100]], dtype=torch.float64))
    assert pixels[0, 2, 1] == pytest.approx(200)


@pytest.mark.parametrize("model", DISTORTION)
def test_resize_scales_pixels(model: CameraModel) -> None:
    c = cameras(model)
    small = resize(c, 48, 20)
    assert (small.width, small.height) == (48, 20)
    assert torch.allclose(project(small, points())[0], project(c, points())[0] * torch.tensor([0.5, 0.25]))


def test_depth_is_along_the_optical_axis() -> None:
    c = cameras("pinhole")
    _, depth = project(c, torch.zeros(1, 3, dtype=torch.float64))
    assert torch.allclose(depth[:, 0], EYES.norm(dim=1))


def test_look_at_is_rigid_and_upright() -> None:
    pose = look_at(EYES, torch.tensor([0.2, -0.1, 0.3], dtype=torch.float64), UP)
    rotation = pose[:, :3, :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3, dtype=torch.float64).expand(2, 3, 3))
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(2, dtype=torch.float64))
    assert torch.equal(pose[:, :3, 3], EYES)
    assert (rotation[:, :, 0] @ UP).abs().max() < 1e-12  # the horizon is level
    assert (rotation[:, :, 1] @ UP).max() < 0  # y points down
    toward = torch.nn.functional.normalize(torch.tensor([0.2, -0.1, 0.3], dtype=torch.float64) - EYES, dim=1)
    assert torch.allclose(rotation[:, :, 2], toward)


def points() -> Tensor:  # [P, 3] in front of both cameras
    return torch.rand(200, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) - 0.5


def _k(c: Cameras, index: int) -> np.ndarray:
    fx, fy, cx, cy = c.intrinsics[index].tolist()
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


def _extrinsics(c: Cameras, index: int) -> tuple[np.ndarray, np.ndarray]:
    pose = c.cam_from_world[index].numpy()
    return cv2.Rodrigues(pose[:3, :3])[0], pose[:3, 3]
