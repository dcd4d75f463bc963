"""Undistortion against OpenCV and against known points, and without borders."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from nerfkit.cameras import project
from nerfkit.contracts import CameraModel, Cameras
from nerfkit.data.images import load_photo
from nerfkit.data.undistort import maps, pinhole, zoom

DISTORTION: list[tuple[CameraModel, list[float]]] = [
    ("opencv", [-0.2, 0.04, 0.002, -0.003]),  # barrel
    ("opencv", [0.12, -0.02, -0.001, 0.002]),  # pincushion
    ("fisheye", [0.03, -0.01, 0.002, 0.0]),
]


def camera(model: CameraModel, distortion: list[float] | None) -> Cameras:
    k = torch.tensor([[300.0, 310.0, 210.5, 148.0]], dtype=torch.float64)
    values = None if distortion is None else torch.tensor([distortion], dtype=torch.float64)
    return Cameras(torch.eye(4, dtype=torch.float64)[None], k, 400, 300, model, values)


@pytest.mark.parametrize(("model", "distortion"), DISTORTION)
def test_the_tables_are_opencvs(model: CameraModel, distortion: list[float]) -> None:
    """A photo pixel that OpenCV undistorts lands on the pinhole pixel whose table entry is that photo pixel."""
    source = camera(model, distortion)
    target = pinhole(source, 400, 300)
    x, y = maps(source, target)
    rows, columns = np.mgrid[5:300:23, 5:400:23]
    photo = np.stack([x[rows, columns], y[rows, columns]], -1).reshape(-1, 1, 2).astype(np.float64) + 0.5
    fx, fy, cx, cy = source.intrinsics[0].tolist()
    k = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    if model == "fisheye":
        flat = cv2.fisheye.undistortPoints(photo, k, np.array(distortion))
    else:
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-12)
        flat = cv2.undistortPoints(photo, k, np.array(distortion), criteria=criteria)
    out = flat[:, 0] * target.intrinsics[0, :2].numpy() + target.intrinsics[0, 2:].numpy()
    expected = np.stack([columns, rows], -1).reshape(-1, 2) + 0.5
    assert np.abs(out - expected).max() < 1e-3


@pytest.mark.parametrize(("model", "distortion"), DISTORTION)
def test_no_pixel_falls_outside_the_photo_and_little_is_cut(model: CameraModel, distortion: list[float]) -> None:
    source = camera(model, distortion)
    x, y = maps(source, pinhole(source, 400, 300))
    assert x.min() >= -0.5 and y.min() >= -0.5 and x.max() <= 399.5 and y.max() <= 299.5
    gaps = [x.min() + 0.5, y.min() + 0.5, 399.5 - x.max(), 299.5 - y.max()]
    assert min(gaps) < 1  # touches a side: no larger view is possible


def test_tables_do_not_depend_on_how_much_is_computed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    source = camera(*DISTORTION[0])
    target = pinhole(source, 389, 291)
    tables = {}
    for at_once in (1, 5 * 389 + 7, 1 << 30):  # a row, five, all
        monkeypatch.setattr("nerfkit.data.undistort._AT_ONCE", at_once)
        tables[at_once] = np.stack(maps(source, target))
    one, five, whole = tables.values()
    assert whole.shape == (2, 291, 389) and np.array_equal(one, whole) and np.array_equal(five, whole)


def test_without_distortion_nothing_changes() -> None:
    source = camera("pinhole", None)
    assert zoom(source) == 1
    assert torch.equal(pinhole(source, 400, 300).intrinsics, source.intrinsics)
    half = pinhole(source, 200, 150)
    assert torch.equal(half.intrinsics, source.intrinsics / 2)


@pytest.mark.parametrize(("model", "distortion"), [*DISTORTION, ("pinhole", None)])
@pytest.mark.parametrize(("width", "height"), [(400, 300), (200, 150), (100, 100)])
def test_known_points_lie_where_the_new_camera_says(
    tmp_path: Path, model: CameraModel, distortion: list[float] | None, width: int, height: int
) -> None:
    """Dots drawn where the distorted camera sees points lie, undistorted and shrunk, where the pinhole sees them."""
    source = camera(model, distortion)
    rng = np.random.default_rng(3)
    spots = [(-0.4, -0.25), (0.3, 0.2), (0.0, 0.0), (0.35, -0.3), (-0.3, 0.28)]
    x_world = torch.tensor([[a, b, 1.0] for a, b in spots], dtype=torch.float64) * float(rng.uniform(1, 3))
    target = pinhole(source, width, height)
    for where, at in zip(project(source, x_world)[0][0], project(target, x_world)[0][0], strict=True):
        yy, xx = np.mgrid[0:300, 0:400] + 0.5
        dot = 255 * np.exp(-((xx - float(where[0])) ** 2 + (yy - float(where[1])) ** 2) / (2 * 4.0**2))
        file = tmp_path / "dot.png"
        assert cv2.imwrite(str(file), dot.astype(np.uint8)[..., None].repeat(3, 2))
        rgb, _ = load_photo(file, source, target)
        weight = rgb[..., 1].double()
        y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        center = torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
        assert (center - at).abs().max() < 0.12
