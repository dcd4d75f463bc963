"""Paths by name: spiral, figure eight and dolly zoom; leaving what the photos saw; what --path makes of a name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from test_camera_path import moves
from test_paths import assert_rigid, azimuths, places, steps
from test_render import render
from torch import Tensor
from world import UP, ring, scene_of

from nerfkit.cameras import look_at, project
from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.train.run import Run
from nerfkit.views import paths
from nerfkit.views.paths import coverage
from nerfkit.views.paths.framing import framed

LOOPS = [paths.orbit, paths.spiral, paths.lemniscate, paths.dolly_zoom]
Make = Callable[..., Cameras]


def rows(start: float, end: float) -> Scene:
    """Photos in three rows, with points on a ball and on a wall behind it."""
    eyes = torch.cat([ring(24, start, end, 0.8, height) for height in (0.0, 0.3, 0.6)])
    scene = scene_of(eyes)
    noise = torch.randn(600, 3, generator=torch.Generator().manual_seed(0))
    ball = 0.2 * noise / noise.norm(dim=1, keepdim=True)
    scene.points = torch.cat([ball, 0.4 * noise[:200] * torch.tensor([1.0, 1.0, 0.05]) - 0.2 * UP])
    scene.point_colors = torch.zeros(len(scene.points), 3, dtype=torch.uint8)
    return scene


def elevations(cameras: Cameras) -> Tensor:
    at = places(cameras)
    return torch.rad2deg(torch.asin(at[:, 2] / at.norm(dim=1)))


@pytest.mark.parametrize("make", LOOPS)
@pytest.mark.parametrize("arc", [(0, 360), (150, 270)])
def test_loops_are_smooth_level_and_within_the_photos(make: Make, arc: tuple[int, int]) -> None:
    scene = rows(*arc)
    cameras = make(scene, 240)
    assert_rigid(cameras)
    moved = steps(cameras)
    assert float(moved.max()) < 3.2 * float(moved.mean())
    assert float((moved.roll(-1, 0) - moved).abs().max()) < 0.1 * float(moved.max())  # no jerk, also at the seam
    torch.testing.assert_close(cameras.world_from_cam[:, 2, 0], torch.zeros(240), atol=1e-5, rtol=0)
    assert bool((cameras.world_from_cam[:, 2, 1] < 0).all())
    if arc != (0, 360):
        assert float((azimuths(cameras) % 360).min()) > 150 and float((azimuths(cameras) % 360).max()) < 266
    assert float(elevations(cameras).min()) > -1 and float(elevations(cameras).max()) < 38
    assert paths.leaves(cameras, scene) == []
    eased = make(scene, 240, None, True)
    assert float(moves(eased)[0]) < 0.02 * float(moves(eased).max())


def test_a_spiral_all_around_turns_twice_and_climbs() -> None:
    cameras = paths.spiral(rows(0, 360), 400)
    turned = np.unwrap(np.deg2rad(azimuths(cameras).numpy()))
    assert turned[-1] - turned[0] == pytest.approx(4 * math.pi * 399 / 400)
    climbed = elevations(cameras)
    assert float(climbed[0]) == pytest.approx(0, abs=4) and float(climbed[200]) > 28
    assert bool((climbed[:200].diff() > -1e-4).all())
    assert float((places(cameras).norm(dim=1) - 0.88).abs().max()) < 0.1  # as far off as the photos


def test_a_spiral_before_one_side_widens_and_narrows() -> None:
    cameras = paths.spiral(rows(150, 270), 400)
    middle = places(cameras)[0]
    away = (places(cameras) - middle).norm(dim=1)
    assert float(away[:50].max()) < 0.5 * float(away.max()) and float(away.max()) > 0.5


@pytest.mark.parametrize("arc", [(0, 360), (150, 270)])
def test_a_lemniscate_is_a_figure_eight_at_constant_speed(arc: tuple[int, int]) -> None:
    cameras = paths.lemniscate(rows(*arc), 200)
    assert float(steps(cameras).max()) < 1.02 * float(steps(cameras).min())
    torch.testing.assert_close(places(cameras)[0], places(cameras)[100], atol=1e-3, rtol=0)  # crosses its middle
    high = elevations(cameras) - elevations(cameras)[0]
    lobes = torch.tensor([float(high[a : a + 50].mean()) for a in (0, 50, 100, 150)])
    assert lobes.sign().tolist() == [1, -1, -1, 1] or lobes.sign().tolist() == [1, -1, 1, -1]


def test_dolly_zoom_keeps_the_subjects_size_and_moves_the_background() -> None:
    scene = rows(0, 360)
    cameras = paths.dolly_zoom(scene, 60)
    forward = cameras.world_from_cam[0, :3, 2]
    subject = project(cameras[0], scene.points)[1][0]
    depth, _ = paths.around._subject(scene, cameras[0])
    assert float(subject.min()) < depth < float(subject.max())
    side = cameras.world_from_cam[0, :3, 0]

    def width(away: float) -> Tensor:
        """Of something as wide as 0.1, that far from the first camera, in each frame: pixels."""
        middle = cameras.world_from_cam[0, :3, 3] + away * forward
        pixels, _ = project(cameras, torch.stack([middle - 0.05 * side, middle + 0.05 * side]))
        return pixels[:, 1, 0] - pixels[:, 0, 0]

    torch.testing.assert_close(width(depth), width(depth)[:1].expand(60), atol=0, rtol=0.01)
    assert float(width(depth + 1)[30]) < 0.8 * float(width(depth + 1)[0])
    nearest = torch.cdist(cameras.world_from_cam[:, :3, 3], scene.points).min()
    assert float(nearest) > 0.15  # stays out of the ball
    torch.testing.assert_close(cameras.world_from_cam[1], cameras.world_from_cam[-1])  # and back


@pytest.mark.parametrize("make", LOOPS)
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_one_photo_is_enough(make: Make, frames: int) -> None:
    cameras = make(scene_of([[0.5, -0.5, 0.2]]), frames)
    assert len(cameras) == frames
    assert_rigid(cameras)
    assert bool(cameras.intrinsics.isfinite().all())


def test_cameras_look_where_the_photos_around_do() -> None:
    eyes = ring(25, -60, 60)
    targets = torch.stack([torch.full((25,), 0.25), torch.zeros(25), torch.zeros(25)], -1)  # before the focus
    cameras = paths.lemniscate(scene_of(eyes, targets), 40)
    pixels, _ = project(cameras, targets[:1])
    assert float((pixels[:, 0, 0] - 32).abs().max()) < 8  # of 64: it stays in the middle


def test_interpolation_goes_around_the_subject_and_keeps_it_in_the_picture() -> None:
    random = torch.Generator().manual_seed(3)
    eyes = torch.randn(40, 3, generator=random) * torch.tensor([1.0, 1.0, 0.4])
    eyes = 0.9 * eyes / eyes.norm(dim=1, keepdim=True)  # all around, in no order
    cameras = paths.interpolate(scene_of(eyes), 96)  # passes eight of them
    pixels, depth = project(cameras, torch.zeros(1, 3))
    assert float(depth.min()) > 0.75 and float(depth.max()) < 1.1
    assert float((pixels[:, 0] - torch.tensor([32.0, 24.0])).abs().max()) < 0.5
    torch.testing.assert_close(cameras.world_from_cam[:, 2, 0], torch.zeros(96), atol=1e-3, rtol=0)  # level
    above = eyes.clone()
    above[:, 2] = above[:, 2].abs() + 6  # from the zenith there is no level, nor does it spin
    turns = moves(paths.interpolate(scene_of(above / 7), 96))
    assert turns.max() < 1.05 * turns.min()


# --- the well-seen region ---------------------------------------------------------------------------------


def circle(scene: Scene, frames: int = 120, radius: float = 0.85) -> Cameras:
    return framed(scene, look_at(ring(frames, radius=radius), torch.zeros(3), UP).double(), None)


def test_leaving_the_photos_arc_is_noticed_and_where() -> None:
    scene = rows(60, 300)
    left = paths.leaves(circle(scene), scene)
    assert len(left) == 2 and left[0][0] == 0 and left[1][1] == 119
    assert 5 < left[0][1] < 20 and 100 < left[1][0] < 115  # the arc begins at frame 20 and ends at 100
    assert coverage.warning(left).startswith(f"frames 0-{left[0][1]}, {left[1][0]}-119 see much")
    assert paths.leaves(circle(rows(0, 360)), rows(0, 360)) == []


def test_long_films_are_judged_by_some_of_their_frames() -> None:
    scene = rows(60, 300)
    short, long = circle(scene), circle(scene, 1200)
    left, leaving = paths.leaves(short, scene), paths.leaves(long, scene)
    assert len(leaving) == 2
    np.testing.assert_allclose(np.array(leaving) / 10, left, atol=1.2)
    part = long[100:1100]
    pulled = paths.pull_in(part, scene)
    assert paths.leaves(part, scene) and not paths.leaves(pulled, scene)
    assert_rigid(pulled)
    assert np.abs(np.diff(moves(pulled))).max() < 0.03 * moves(pulled).max()


@pytest.mark.parametrize("where", ["inside", "far", "away", "above"])
def test_other_ways_to_leave(where: str) -> None:
    scene = rows(0, 360)
    cameras = circle(scene, 12, {"far": 4.0}.get(where, 0.85))
    pose = cameras.world_from_cam.clone()
    if where == "inside":
        pose[:, :3, 3] *= 0.2
    if where == "away":
        pose[:, :3, [0, 2]] *= -1
    if where == "above":
        pose = look_at(torch.tensor([[0.05, 0.0, 0.9]]), torch.zeros(3), UP).expand(12, 4, 4)
    assert paths.leaves(replace(cameras, world_from_cam=pose), scene) == [(0, 11)]


def test_a_scene_without_points_has_no_region() -> None:
    scene = scene_of(ring(8, 0, 90))
    assert paths.leaves(circle(scene), scene) == []
    assert paths.pull_in(circle(scene), scene) is not None


def test_pulling_in_is_smooth_and_leaves_good_frames_alone() -> None:
    scene = rows(60, 300)
    cameras = circle(scene)[8:113]  # from 24 to 336 degrees
    pulled = paths.pull_in(cameras, scene)
    assert_rigid(pulled)
    assert paths.leaves(cameras, scene) and not paths.leaves(pulled, scene)
    torch.testing.assert_close(pulled.world_from_cam[50:70], cameras.world_from_cam[50:70], atol=1e-5, rtol=0)
    torch.testing.assert_close(pulled.intrinsics[50:70], cameras.intrinsics[50:70])
    alone = paths.pull_in(cameras[:1], scene)  # a still
    assert paths.leaves(cameras[:1], scene) == [(0, 0)] and paths.leaves(alone, scene) == []
    good = rows(0, 360)
    assert torch.equal(paths.pull_in(circle(good), good).world_from_cam, circle(good).world_from_cam)
    wobble = circle(scene).world_from_cam.clone()[20:100]  # leaves upwards in its middle
    wobble[:, 2, 3] += 2.5 * torch.hann_window(80)
    wobble = look_at(wobble[:, :3, 3], torch.zeros(3), UP)
    asked = replace(cameras, world_from_cam=wobble, intrinsics=cameras.intrinsics[:80])
    back = paths.pull_in(asked, scene)
    assert paths.leaves(asked, scene) and not paths.leaves(back, scene)
    turned = np.abs(np.diff(moves(back)))
    assert turned.max() < 0.25 * moves(back).max()


# --- by name ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", paths.NAMES)
def test_every_name_makes_cameras(name: str) -> None:
    made = paths.make(rows(0, 360), name, (64, 48), paths.PathOptions(fps=10, seconds=2))
    assert len(made.cameras) == (72 if name == "held-out" else 20)
    assert (made.fps, made.cameras.width, made.warnings) == (10, 64, [])
    again = made.path.sample(made.path.frames, (64, 48))
    torch.testing.assert_close(again.world_from_cam, made.cameras.world_from_cam, atol=1e-5, rtol=0)


def test_a_file_has_its_own_length_and_options_change_it(tmp_path: Path) -> None:
    scene = rows(0, 360)
    fov = 2 * math.atan(24 / 80)
    path = paths.CameraPath.through(look_at(ring(4), torch.zeros(3), UP), [fov] * 4, seconds=3, fps=20)
    paths.write_path(tmp_path / "my path.json", path, scene, size=(32, 24))
    name = str(tmp_path / "my path.json")
    made = paths.make(scene, name)
    assert (len(made.cameras), made.fps, made.cameras.width, made.warnings) == (60, 20, 32, [])
    assert paths.make(scene, name, (64, 48), paths.PathOptions(seconds=1)).cameras.world_from_cam.shape[0] == 20
    looped = paths.make(scene, name, options=paths.PathOptions(loop=True))
    assert len(looped.cameras) == 80 and looped.path.loop
    assert float(moves(looped.cameras).max()) < 1.4 * float(moves(looped.cameras).min())
    eased = paths.make(scene, name, options=paths.PathOptions(ease=True, constant_speed=True))
    assert float(moves(eased.cameras)[0]) < 0.05 * float(moves(eased.cameras).max())
    assert (paths.stem(name), paths.stem("orbit")) == ("my path", "orbit")


def test_a_file_that_leaves_is_warned_about_in_a_line(tmp_path: Path) -> None:
    scene = rows(60, 300)
    path = paths.CameraPath.of_frames(circle(scene)[8:113])
    paths.write_path(tmp_path / "circle.json", replace(path, camera_type="fisheye"), scene)
    made = paths.make(scene, str(tmp_path / "circle.json"))
    assert len(made.warnings) == 1 and "see much that fewer than 2 photos saw; --pull-in" in made.warnings[0]
    pulled = paths.make(scene, str(tmp_path / "circle.json"), options=paths.PathOptions(pull_in=True))
    assert not pulled.warnings and pulled.path.camera_type == "fisheye"
    across = paths.make(rows(60, 300), "interpolate", options=paths.PathOptions(loop=True, pull_in=True))
    assert ["near enough" in line for line in across.warnings] == [True]  # over the gap of 120 degrees


@pytest.mark.parametrize("kind", ["equirectangular", "vr180"])
def test_panoramas_are_judged_by_the_pictures_in_them(kind: Any) -> None:
    scene, up = rows(60, 300), torch.tensor([0.0, 0, 1])
    among = ring(20, 90, 270, 0.8, 0.3)
    level = look_at(among, among * torch.tensor([0.0, 0, 1]), up)  # none of it in the picture's lower half
    flat = framed(scene, level, (64, 48))
    seen = coverage.Seen.of(scene, kind)
    assert paths.leaves(flat, scene) == [(0, 19)] and seen.leaves(flat) == []
    outwards = flat.world_from_cam.clone()
    outwards[:, :3, 0:3:2] *= -1
    assert (seen.leaves(replace(flat, world_from_cam=outwards)) == []) == (kind == "equirectangular")
    away = flat.world_from_cam.clone()
    away[:, :3, 3] *= 4
    assert seen.leaves(replace(flat, world_from_cam=away)) == [(0, 19)]
    back = seen.pull_in(replace(flat, world_from_cam=away))
    assert seen.leaves(back) == []
    made = paths.make(scene, "orbit", options=paths.PathOptions(camera_type=kind))
    assert made.warnings == []


def test_a_saved_path_is_as_long_as_was_asked_for(tmp_path: Path) -> None:
    path = paths.CameraPath.through(look_at(ring(4), torch.zeros(3), UP), [0.9] * 4, seconds=3, fps=20)
    paths.write_path(tmp_path / "path.json", path, rows(0, 360))
    made = paths.make(rows(0, 360), str(tmp_path / "path.json"), options=paths.PathOptions(seconds=5, fps=10))
    assert (made.path.seconds, made.path.fps, made.path.frames, len(made.cameras)) == (5, 10, 50, 50)
    again = made.path.sample(50, (64, 48)).world_from_cam
    torch.testing.assert_close(again, made.cameras.world_from_cam)


def test_the_command_renders_a_path_file(ball_run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    scene = ball_run.scene()
    path = paths.CameraPath.through(look_at(ring(4), torch.zeros(3), UP), [0.9] * 4, seconds=1, loop=True)
    paths.write_path(tmp_path / "fly.json", path, scene, size=(48, 32))
    status, result, _ = render(capsys, ball_run.path, "--path", tmp_path / "fly.json", "-o", tmp_path / "fly.mp4")
    assert (status, result["frames"], result["width"], result["height"]) == (0, 30, 48, 32)
    frames = iio.imread(tmp_path / "fly.mp4")
    assert np.abs(frames[0].astype(int) - frames[15]).mean() > 5  # the other side of the ball
    orbit = ("--seconds", 0.5, "-o", tmp_path / "orbit.mp4", "--save-path", tmp_path / "saved.json")
    assert render(capsys, ball_run.path, *orbit)[0] == 0
    saved = paths.read_path(tmp_path / "saved.json", scene).sample(15, (64, 48))
    expected = paths.orbit(scene, 15).world_from_cam
    torch.testing.assert_close(saved.world_from_cam, expected, atol=1e-5, rtol=0)
    (tmp_path / "fly.json").write_text("{}")
    status, _, error = render(capsys, ball_run.path, "--path", tmp_path / "fly.json", "-o", tmp_path / "two.mp4")
    assert status == 2 and error.startswith(f"error: {tmp_path / 'fly.json'}: a JSON without")
    assert not (tmp_path / "two.mp4").exists()


def test_what_is_neither_path_nor_file() -> None:
    with pytest.raises(NerfkitError, match="--path figure-9: no such path or file; choose from orbit, spiral"):
        paths.make(rows(0, 360), "figure-9")
    with pytest.raises(NerfkitError, match="frames; 100000 may be"):
        paths.make(rows(0, 360), "orbit", options=paths.PathOptions(fps=1000, seconds=1e4))
