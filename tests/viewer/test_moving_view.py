"""What is seen while the camera moves, of a model that is slow to draw."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras
from nerfkit.train.run import Run
from nerfkit.viewer.camera import pinhole, turning_axis
from nerfkit.viewer.pictures import Painter, Picture, strip_of
from nerfkit.viewer.warp import Seen, warped

UP = torch.tensor([0.0, 0.0, 1.0])


def around(degrees: float, size: tuple[int, int]) -> Cameras:
    angle = math.radians(degrees)
    eye = torch.tensor([1.6 * math.cos(angle), 1.6 * math.sin(angle), 0.6])
    return pinhole(look_at(eye, torch.zeros(3), UP), 0.6, size, 4 / 3)


def db(image: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.square((image / 255.0) - (other / 255.0)).mean()))


def test_details_stay_where_they_are_while_the_camera_moves(vivid_run: Run) -> None:
    model, painter = vivid_run.model(), Painter()
    fine, new, coarse = around(0, (960, 720)), around(9, (320, 240)), around(9, (16, 12))
    seen = Seen(painter.sketch(model, fine, "rgb"), fine)
    sketch = Seen(painter.sketch(model, coarse, "rgb"), coarse)
    truth = painter.sketch(model, new, "rgb")
    got = warped(seen, sketch).enlarged(320, 240)
    blurred = sketch.picture.enlarged(320, 240)
    assert truth.image.std() > 20
    assert db(got.image, truth.image) > db(blurred.image, truth.image) + 1
    there = (truth.depth < 100) & (got.depth < 100)
    assert there.sum() > 2000 and np.median(np.abs(truth.depth - got.depth)[there]) < 0.02


def wall(x: float, size: tuple[int, int]) -> Seen:
    """A wall 2 units ahead, of a camera at x on it, that is red by its own x."""
    pose = torch.eye(4)
    pose[0, 3] = x
    camera = pinhole(pose, 0.6, size)
    column = (np.arange(size[0]) + 0.5 - size[0] / 2) / float(camera.intrinsics[0, 0]) * 2 + x
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[..., 0] = (128 + 100 * column).round()
    return Seen(Picture(image, np.full(image.shape[:2], 2, np.float32)), camera)


def test_depths_that_are_noise_leave_no_speckles() -> None:
    fine, sketch = wall(0, (640, 480)), wall(0.2, (64, 48))
    rng = np.random.default_rng(0)
    noise = rng.random(fine.picture.depth.shape) < 0.1
    depth = np.where(noise, rng.uniform(1, 3, noise.shape), fine.picture.depth).astype(np.float32)
    got = warped(Seen(Picture(fine.picture.image, depth), fine.camera), sketch)
    truth = wall(0.2, (got.image.shape[1], got.image.shape[0])).picture
    assert np.abs(got.image.astype(int) - truth.image)[3:-3, 3:-3].max() <= 4
    assert np.abs(got.depth - 2).max() < 0.11


def test_where_nothing_is_known_the_sketch_is_seen(vivid_run: Run) -> None:
    model, painter = vivid_run.model(), Painter()
    camera = around(0, (40, 30))
    seen, sketch = Seen(painter.sketch(model, camera, "rgb"), camera), painter.sketch(model, around(0, (32, 24)), "rgb")
    away = pinhole(look_at(torch.tensor([0.0, 9, 0]), torch.tensor([0.0, 99, 0]), UP), 0.6, (32, 24))
    got = warped(seen, Seen(sketch, away))
    np.testing.assert_array_equal(got.image, sketch.enlarged(got.image.shape[1], got.image.shape[0]).image)


@pytest.mark.parametrize("roll", [0.0, 0.01, 0.1, 0.4, 1.5, 3.0])
def test_the_browser_keeps_a_photos_roll_and_the_world_stays_upright(roll: float) -> None:
    pose = look_at(torch.tensor([2.0, 1, 2]), torch.zeros(3), UP).double()
    turn = torch.tensor([[math.cos(roll), -math.sin(roll), 0], [math.sin(roll), math.cos(roll), 0], [0, 0, 1]]).double()
    pose[:3, :3] = pose[:3, :3] @ turn
    axis = turning_axis(pose, np.array([0.0, 0, 1]))
    shown = look_at(pose[:3, 3], pose[:3, 3] + pose[:3, 2], torch.from_numpy(axis))  # as the browser does
    torch.testing.assert_close(shown.double(), pose, atol=1e-5, rtol=0)
    if roll < 0.5:
        assert math.acos(min(1.0, axis[2])) <= roll + 1e-4


@pytest.mark.parametrize("rows", [slice(0, 7), slice(7, 30)])
def test_a_strip_is_those_rows_of_the_picture(vivid_run: Run, rows: slice) -> None:
    model, camera = vivid_run.model(), around(10, (40, 30))
    whole, part = (model.render(seen).rgb for seen in (camera, strip_of(camera, rows)))
    assert whole is not None and part is not None
    torch.testing.assert_close(part, whole[rows], atol=0.02, rtol=0)
