"""Keyframes and the frames between them: exact at the keys, smooth between, with every option."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor
from world import UP, ring

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras
from nerfkit.views.paths.camera_path import CameraPath, Keyframe
from nerfkit.views.spline import eased, pack, way

SIZE = (64, 48)
FOV = math.radians(50)


def poses(eyes: Tensor) -> Tensor:
    return look_at(eyes.double(), torch.zeros(3).double(), UP.double())


def uneven(loop: bool = False) -> CameraPath:
    """Keyframes of uneven distances, turns, times and fields of view."""
    eyes = ring(6, 0, 300) * torch.tensor([1.0, 0.7, 1.3, 1.0, 0.5, 1.1])[:, None]
    eyes[:, 2] += torch.tensor([0.0, 0.3, 0.1, -0.1, 0.4, 0.0])
    times, fovs = [0.0, 0.5, 2.0, 2.6, 4.0, 5.0], [50, 40, 60, 60, 35, 50]
    keys = [Keyframe(p, math.radians(f), t) for p, f, t in zip(poses(eyes), fovs, times, strict=True)]
    return CameraPath(tuple(keys), loop=loop, after=1.0 if loop else 0.0)


def moves(cameras: Cameras) -> np.ndarray:
    return way(pack(cameras.world_from_cam), 0.8)


def fovs(cameras: Cameras) -> Tensor:
    return torch.rad2deg(2 * torch.atan(cameras.height / 2 / cameras.intrinsics[:, 1]))


def jerk(cameras: Cameras, loop: bool) -> float:
    """The largest second difference of places and optical axes, as a share of the largest first one."""
    state = torch.cat([cameras.world_from_cam[:, :3, 3], cameras.world_from_cam[:, :3, 2]], 1).double()
    if loop:
        state = torch.cat([state, state[:3]])
    first = state.diff(dim=0)
    return float(first.diff(dim=0).norm(dim=1).max() / first.norm(dim=1).max())


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("tension", [0.0, 0.5, 1.0])
def test_it_passes_every_keyframe_at_its_time(loop: bool, tension: float) -> None:
    path = replace(uneven(loop), tension=tension)
    frames = 60 if loop else 51  # a frame each tenth of a second
    cameras = path.sample(frames, SIZE)
    for key in path.keyframes:
        frame = round(key.time * 10)
        torch.testing.assert_close(cameras.world_from_cam[frame].double(), key.world_from_cam, atol=1e-6, rtol=0)
        assert float(fovs(cameras)[frame]) == pytest.approx(math.degrees(key.fov), abs=1e-4)
    rotation = cameras.world_from_cam[:, :3, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5, rtol=0)


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("speed", ["by times", "constant"])
def test_it_has_no_jerk_and_a_loop_none_at_its_seam(loop: bool, speed: str) -> None:
    path = replace(uneven(loop), constant_speed=speed == "constant")
    coarse, fine = (jerk(path.sample(n, SIZE), loop) for n in (600, 2400))
    assert fine < 0.35 * coarse  # of a path with a corner, or a leap of speed, it would stay the same
    if speed == "constant":
        assert jerk(path.sample(600, SIZE), loop) < 0.08


@pytest.mark.parametrize("gap", [30, 60, 90])
def test_keyframes_around_a_subject_keep_it_in_the_middle_and_the_horizon_level(gap: int) -> None:
    eyes = ring(4, 0, 4 * gap)
    eyes[:, 2] += torch.tensor([0.0, 0.3, -0.15, 0.3])
    path = CameraPath.through(poses(eyes), [FOV] * 4)
    world_from_cam = path.sample(200, SIZE).world_from_cam.double()
    to_subject = torch.nn.functional.normalize(-world_from_cam[:, :3, 3], dim=1)
    off = torch.acos((to_subject * world_from_cam[:, :3, 2]).sum(1).clamp(-1, 1))
    assert float(off.max()) < math.radians(0.1) and float(world_from_cam[:, 2, 0].abs().max()) < 1e-3
    again = CameraPath.through(poses(eyes[[0, 1, 1, 2, 3]]), [FOV] * 5).sample(200, SIZE).world_from_cam.double()
    assert float(again[:, 2, 0].abs().max()) < 1e-3  # a keyframe twice is a stop, and no other way
    free = replace(path, tension=0.01).sample(200, SIZE).world_from_cam.double()  # goes straight, past the subject
    assert float((free[:, :3, 3] - world_from_cam[:, :3, 3]).norm(dim=1).max()) > 0.003


def test_a_turn_about_the_axis_right_above_the_subject_is_spread() -> None:
    eyes = torch.tensor([[1.0, 0, 0.2], [0.5, 0, 0.8], [0.02, 0, 1], [-0.5, 0.1, 0.8], [-1, 0, 0.2]])
    rotation = CameraPath.through(poses(eyes), [FOV] * 5).sample(200, SIZE).world_from_cam[:, :3, :3].double().numpy()
    turned = (Rotation.from_matrix(rotation[:-1]).inv() * Rotation.from_matrix(rotation[1:])).magnitude()
    assert turned.max() < math.radians(6) and turned.sum() > math.radians(180)


def test_rotations_have_the_velocity_of_a_spline_in_the_tangent_space() -> None:
    turns = Rotation.from_euler("zyx", [[0, 0, 0], [70, 20, 0], [150, -10, 30], [260, 0, 0]], degrees=True)
    eye = torch.eye(4, dtype=torch.float64).repeat(4, 1, 1)
    eye[:, :3, :3] = torch.from_numpy(turns.as_matrix())
    cameras = CameraPath.through(eye, [FOV] * 4).sample(1501, SIZE)
    rotation = Rotation.from_matrix(cameras.world_from_cam[:, :3, :3].double().numpy())
    speed = (rotation[:-5].inv() * rotation[5:]).magnitude()
    assert speed.max() < 2.0 * speed.min()  # uneven turns, yet it neither stops nor darts
    total = sum((turns[i].inv() * turns[i + 1]).magnitude() for i in range(3))
    assert speed.sum() / 5 < 1.1 * total  # hardly a detour
    assert float(cameras.world_from_cam[:, :3, 3].abs().max()) < 1e-9  # and stays where it is


def test_constant_speed_counts_moving_turning_and_zooming() -> None:
    cameras = replace(uneven(), constant_speed=True).sample(400, SIZE)
    packed = pack(cameras.world_from_cam)
    focal = np.log(cameras.intrinsics[:, 1:2].double().numpy())
    keys = torch.stack([key.world_from_cam for key in uneven().keyframes])
    steps = way(np.concatenate([packed, focal], 1), float(keys[:, :3, 3].norm(dim=1).median()))
    assert steps.max() < 1.03 * steps.min()


def test_a_zoom_from_one_place_leaves_the_camera_where_it_is() -> None:
    stand = poses(torch.tensor([[1.0, 0, 0.2], [0, 1, 0.2], [0, 1, 0.2], [-1, 0, 0.2]]))
    cameras = CameraPath.through(stand, [FOV, FOV, FOV / 2, FOV / 2], seconds=3).sample(301, SIZE)
    torch.testing.assert_close(cameras.world_from_cam[100:201], cameras.world_from_cam[100:101].expand(101, 4, 4))
    assert bool((fovs(cameras).diff() < 1e-4).all())  # never widens again
    assert float(fovs(cameras)[150]) == pytest.approx(37.5, abs=3)


def test_easings_stop_where_they_say() -> None:
    def speeds(easing: str) -> np.ndarray:
        keys = [replace(key, easing=easing if index == 2 else "linear") for index, key in enumerate(uneven().keyframes)]
        return moves(replace(uneven(), keyframes=tuple(keys)).sample(5001, SIZE)) * 1000

    def stopped(easing: str) -> list[bool]:
        found = speeds(easing)
        return [bool(found[frame - 2 : frame + 2].max() < 0.05 * found.max()) for frame in (2000, 2600)]

    assert [stopped(e) for e in ("linear", "ease-in", "ease-out", "ease")] == [
        [False, False], [True, False], [False, True], [True, True]
    ]  # fmt: skip


@pytest.mark.parametrize("loop", [False, True])
def test_hold_stays_and_cuts(loop: bool) -> None:
    keys = uneven().keyframes
    path = replace(uneven(loop), keyframes=(*keys[:2], replace(keys[2], easing="hold"), *keys[3:]))
    cameras = path.sample(60 if loop else 51, SIZE)
    held = cameras.world_from_cam[20:26]
    torch.testing.assert_close(held, keys[2].world_from_cam.float().expand(6, 4, 4), atol=1e-6, rtol=0)
    torch.testing.assert_close(cameras.world_from_cam[26].double(), keys[3].world_from_cam, atol=1e-6, rtol=0)
    if loop:  # returns to where it began
        assert moves(cameras)[50:].min() > 0.01
        assert float((cameras.world_from_cam[-1] - cameras.world_from_cam[0])[:3, 3].norm()) < 0.25


def test_the_whole_path_can_be_eased() -> None:
    speed = np.diff(eased(np.linspace(0, 1, 10001))) * 10000
    assert speed[0] < 1e-3 and speed[-1] < 1e-3 and speed.max() == pytest.approx(4 / 3, abs=1e-3)
    assert np.abs(np.diff(speed)).max() < 1e-2
    assert eased(np.array([0.0, 0.5, 1.0])) == pytest.approx([0, 0.5, 1], abs=1e-12)
    steps = moves(replace(uneven(), ease=True, constant_speed=True).sample(200, SIZE))
    assert steps[0] < 0.02 * steps.max() and steps[-1] < 0.02 * steps.max()


def test_its_own_length_and_frames() -> None:
    path = uneven()
    assert (path.seconds, path.frames) == (5.0, 150)
    assert path.lasting(10).keyframes[2].time == 4.0 and path.lasting(10).seconds == 10
    cameras = uneven(loop=True).sample(90, SIZE)
    frames = CameraPath.of_frames(cameras, fps=30)
    assert frames.frames == 90 and frames.size == SIZE
    again = frames.sample(90, SIZE)
    torch.testing.assert_close(again.world_from_cam, cameras.world_from_cam, atol=1e-6, rtol=0)
    torch.testing.assert_close(again.intrinsics[:, 1], cameras.intrinsics[:, 1])


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("options", [{}, {"constant_speed": True}, {"ease": True}])
def test_one_keyframe_is_a_still(loop: bool, options: dict[str, bool]) -> None:
    key = uneven().keyframes[0]
    cameras = CameraPath((key,), loop=loop, after=2.0, **options).sample(5, SIZE)  # type: ignore[arg-type]
    torch.testing.assert_close(cameras.world_from_cam, key.world_from_cam.float().expand(5, 4, 4))


def test_a_loop_of_photos_all_around_turns_on_beyond_half_a_turn() -> None:
    cameras = CameraPath.through(poses(ring(5)), [FOV] * 5, loop=True).sample(100, SIZE)
    place = cameras.world_from_cam[:, :3, 3]
    assert float((place[:, :2].norm(dim=1) - 0.8).abs().max()) < 0.03
    assert jerk(cameras, loop=True) < 0.08
    assert float(cameras.world_from_cam[:, 2, 0].abs().max()) < 0.02  # level


def test_times_that_do_not_rise_are_refused() -> None:
    first, second = uneven().keyframes[:2]
    for keys in ((), (second,), (first, replace(second, time=0.0)), (first, replace(second, time=math.nan))):
        with pytest.raises(ValueError, match="keyframe"):
            CameraPath(keys)
