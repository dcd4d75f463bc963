"""Camera paths: rigid, smooth, within what the photos saw."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from world import ring, scene_of

from nerfkit.cameras import project
from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.views import paths, spline


def assert_rigid(cameras: Cameras) -> None:
    rotation = cameras.world_from_cam[:, :3, :3]
    assert cameras.world_from_cam.dtype == cameras.intrinsics.dtype == torch.float32
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(len(cameras)), atol=1e-5, rtol=0)
    assert torch.equal(cameras.world_from_cam[:, 3], torch.tensor([0.0, 0, 0, 1]).expand(len(cameras), 4))


def places(cameras: Cameras) -> Tensor:
    return cameras.world_from_cam[:, :3, 3].double()


def azimuths(cameras: Cameras) -> Tensor:
    return torch.rad2deg(torch.atan2(places(cameras)[:, 1], places(cameras)[:, 0]))


def steps(cameras: Cameras) -> Tensor:
    """Of a closed path: from each frame to the next, and from the last to the first."""
    return (places(cameras).roll(-1, 0) - places(cameras)).norm(dim=1)


def test_orbit_of_photos_all_around_is_a_circle_at_constant_speed() -> None:
    cameras = paths.orbit(scene_of(ring(24, radius=0.8, height=0.3)), 50)
    assert_rigid(cameras)
    torch.testing.assert_close(steps(cameras), torch.full((50,), 2 * 0.8 * math.sin(math.pi / 50)).double())
    torch.testing.assert_close(places(cameras)[:, 2], torch.full((50,), 0.3).double())
    assert len({round(float(a)) for a in azimuths(cameras)}) == 50


def test_orbit_looks_at_the_focus_and_keeps_the_horizon_level() -> None:
    cameras = paths.orbit(scene_of(ring(24)), 10)
    pixels, depth = project(cameras, torch.zeros(1, 3))
    assert bool((depth > 0).all())
    torch.testing.assert_close(pixels[:, 0], torch.tensor([32.0, 24.0]).expand(10, 2), atol=1e-3, rtol=0)
    torch.testing.assert_close(cameras.world_from_cam[:, 2, 0], torch.zeros(10), atol=1e-6, rtol=0)
    assert bool((cameras.world_from_cam[:, 2, 1] < 0).all())  # the image's down is the scene's


def test_orbit_of_an_arc_stays_within_it_and_uses_it() -> None:
    scene = scene_of(ring(30, 150, 270))  # across ±180 degrees
    cameras = paths.orbit(scene, 120)
    assert_rigid(cameras)
    azimuth = azimuths(cameras) % 360
    assert 150 <= float(azimuth.min()) < 165
    assert 250 < float(azimuth.max()) <= 266
    assert float(steps(cameras).max()) < 2.5 * float(steps(cameras).mean())  # no jump, also from last to first
    turn = steps(cameras).diff().abs().max()
    assert float(turn) < 0.1 * float(steps(cameras).max())  # eases at the arc's ends


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_one_photo_from_behind_does_not_widen_the_arc(turn: int) -> None:
    eyes = torch.cat([ring(20, turn - 50, turn + 50), ring(1, turn + 180, turn + 181)])
    azimuth = (azimuths(paths.orbit(scene_of(eyes), 60)) - turn + 180) % 360 - 180
    assert 40 < float(azimuth.abs().max()) < 51


@pytest.mark.parametrize("gap", [60, 100])
def test_a_wide_gap_ends_the_full_turn(gap: int) -> None:
    arc = paths.covered_arc(torch.atan2(*ring(100, 0, 360 - gap).T[[1, 0]]))
    assert (arc is None) == (gap == 60)


def test_forward_facing_photos_give_a_sway_among_them() -> None:
    grid = torch.cartesian_prod(torch.linspace(-0.2, 0.2, 5), torch.tensor([-1.0]), torch.linspace(-0.1, 0.1, 3))
    cameras = paths.orbit(scene_of(grid), 40)
    assert_rigid(cameras)
    assert float(places(cameras)[:, 0].abs().max()) < 0.21
    assert float(places(cameras)[:, 2].abs().max()) < 0.11
    assert float(places(cameras)[:, 0].max() - places(cameras)[:, 0].min()) > 0.3


def test_orbit_of_photos_from_right_above_has_an_up() -> None:
    above = torch.tensor([[0.01, 0.0, 1.0], [-0.01, 0.005, 1.0], [0.0, -0.01, 1.0]])
    cameras = paths.orbit(scene_of(above), 12)
    assert_rigid(cameras)
    assert float(places(cameras)[:, :2].norm(dim=1).min()) > 0.15  # about 10 degrees off the vertical


@pytest.mark.parametrize("make", [paths.orbit, paths.interpolate])
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_one_photo_is_enough(make: object, frames: int) -> None:
    cameras = make(scene_of([[0.5, -0.5, 0.2]]), frames)  # type: ignore[operator]
    assert len(cameras) == frames
    assert_rigid(cameras)


def test_interpolation_has_constant_speed_and_begins_and_ends_at_photos() -> None:
    eyes = ring(9, 0, 200) * torch.linspace(0.6, 1.2, 9)[:, None]
    scene = scene_of(eyes)
    cameras = paths.interpolate(scene, 240)
    assert_rigid(cameras)
    moved = torch.from_numpy(spline.way(spline.pack(cameras.world_from_cam), float(eyes.norm(dim=1).median())))
    assert float(moved.max()) < 1.02 * float(moved.min())
    torch.testing.assert_close(cameras.world_from_cam[0], scene.views[0].camera.world_from_cam[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(cameras.world_from_cam[-1], scene.views[-1].camera.world_from_cam[0], atol=1e-5, rtol=0)
    nearest = torch.cdist(eyes.double(), places(cameras)).min(1).values
    assert float(nearest.max()) < float(moved.max())  # passes every photo


def test_interpolation_takes_2_before_10() -> None:
    names = [f"img{i}.jpg" for i in (1, 10, 11, 2, 3)]  # in the scene's order
    order = paths.tour(ring(5), names)
    assert [names[i] for i in order] == ["img1.jpg", "img2.jpg", "img3.jpg", "img10.jpg", "img11.jpg"]


def test_interpolation_of_photos_named_at_random_takes_a_short_tour() -> None:
    eyes = ring(40, 0, 300)
    shuffled = eyes[torch.randperm(40, generator=torch.Generator().manual_seed(1))]
    length = shuffled[paths.tour(shuffled, [f"{i}" for i in range(40)])].diff(dim=0).norm(dim=1).sum()
    assert float(length) < 2 * float(eyes.diff(dim=0).norm(dim=1).sum())


def test_interpolation_of_a_short_video_leaves_photos_out() -> None:
    shaky = ring(200, 0, 180) + 0.02 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    moved = places(paths.interpolate(scene_of(shaky), 120)).diff(dim=0).norm(dim=1).sum()
    assert float(moved) < 1.3 * math.pi * 0.8


def test_a_camera_that_stands_still_or_only_turns() -> None:
    still = scene_of(torch.tensor([0.5, 0.5, 0.0]).expand(4, 3))
    cameras = paths.interpolate(still, 30)
    torch.testing.assert_close(cameras.world_from_cam, still.views[0].camera.world_from_cam.expand(30, 4, 4))
    turning = paths.interpolate(scene_of(torch.zeros(5, 3), ring(5, 0, 100)), 60)
    assert_rigid(turning)
    turned = torch.from_numpy(spline.way(spline.pack(turning.world_from_cam), 1.0))
    assert float(turned.max()) < 1.05 * float(turned.min())
    assert math.degrees(float(turned.sum())) == pytest.approx(80, rel=0.1)


def test_sizes_are_even_and_keep_the_field_of_view() -> None:
    scene = scene_of(ring(8), size=(65, 49))
    cameras = paths.orbit(scene, 3)
    assert (cameras.width, cameras.height) == (64, 48)
    wide = paths.orbit(scene, 3, (128, 96))
    torch.testing.assert_close(wide.intrinsics, 2 * cameras.intrinsics)
    assert float(cameras.intrinsics[0, 0]) == pytest.approx(65 * 1.2, rel=0.02)
    assert torch.equal(wide.intrinsics[:, 2:], torch.tensor([64.0, 48.0]).expand(3, 2))


def column(height: float, has_alpha: bool) -> Scene:
    """Tall photos of a column, with points on it and on the ground around, which few photos show whole."""
    scene = scene_of(ring(24, radius=1.5), size=(48, 96))
    up = torch.linspace(-height / 2, height / 2, 60)
    ground = torch.stack([torch.linspace(-3, 3, 60), torch.full((60,), 3.0), torch.zeros(60)], 1)
    points = torch.cat([torch.stack([0 * up, 0 * up, up], 1), ground])
    return dataclasses.replace(scene, points=points, point_colors=torch.zeros(120, 3).byte(), has_alpha=has_alpha)


@pytest.mark.parametrize("make", [paths.orbit, paths.spiral, paths.lemniscate])
def test_wide_frames_of_tall_photos_show_the_whole_subject(make: Any) -> None:
    def reach(scene: Scene, size: tuple[int, int]) -> float:
        cameras = make(scene, 24, size)
        pixels, _ = project(cameras, scene.points[:60])
        return float(((pixels[..., 1] - size[1] / 2) / (size[1] / 2)).abs().max())

    def focal(scene: Scene, size: tuple[int, int]) -> float:
        return float(make(scene, 4, size).intrinsics[0, 1])

    tall, small = column(2.0, has_alpha=True), column(0.2, has_alpha=True)
    assert reach(tall, (48, 96)) < 1  # photos show it whole
    assert reach(tall, (160, 90)) < 1.05
    assert focal(small, (160, 90)) == pytest.approx(focal(small, (48, 96)) * math.sqrt(160 / 48 * 90 / 96), rel=1e-5)
    assert focal(tall, (160, 90)) >= focal(tall, (48, 96)) * 90 / 96 * 0.999  # never more than the photos' height
    background = column(2.0, has_alpha=False)  # of which nothing is known beside the photos
    assert focal(tall, (160, 90)) < focal(background, (160, 90)) < focal(small, (160, 90))


def test_held_out_cameras_are_the_photos_own() -> None:
    scene = scene_of(ring(9), held_out=(0, 8), size=(65, 49))
    cameras = paths.held_out(scene)
    for row, index in enumerate((0, 8)):
        camera = scene.views[index].camera
        torch.testing.assert_close(cameras.world_from_cam[row], camera.world_from_cam[0])
        torch.testing.assert_close(cameras.intrinsics[row], camera.intrinsics[0])
    assert (cameras.width, cameras.height) == (65, 49)
    torch.testing.assert_close(paths.held_out(scene, (130, 98)).intrinsics, 2 * cameras.intrinsics)
    assert len(paths.held_out(scene_of(ring(5)))) == 5  # nothing held out: all photos


def test_the_fox_is_seen_from_where_it_was_photographed(shared_data: Path) -> None:
    scene = Scene.load(shared_data / "fox", downscale=4)
    photos = torch.cat([view.camera.world_from_cam for view in scene.views])[:, :3, 3].double()
    cameras = paths.orbit(scene, 90)
    assert (cameras.width, cameras.height) == (270, 480)
    nearest = torch.cdist(places(cameras), photos).min(1).values
    assert float(nearest.max()) < 0.4  # between its three rows of photos, which are 0.4 apart
    spread = azimuths(cameras).max() - azimuths(cameras).min()
    assert 60 < float(spread) < 95
