"""Panoramas against the exact model's own rays, stereo against geometry, and what ffprobe reads of their boxes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import probe
import pytest
import torch
import world

from nerfkit import cameras
from nerfkit.contracts import Cameras, Rendering
from nerfkit.core import choose_core
from nerfkit.errors import NerfkitError
from nerfkit.models.gaussians.config import Config
from nerfkit.models.gaussians.model import Model
from nerfkit.value_transforms import dc_from_rgb, logit_from_opacity
from nerfkit.views import draw, panorama, spherical, stereo, video

ALL: draw.Channels = frozenset({"rgb", "alpha", "depth", "normal"})


def camera_at(eye: tuple[float, float, float], width: int, height: int) -> Cameras:
    pose = cameras.look_at(torch.tensor(eye), torch.zeros(3), world.UP)
    return panorama.level(Cameras(pose[None], torch.ones(1, 4), 1, 1), width, height)


def exact(camera: Cameras, degrees: int) -> Rendering:
    """The ball and its floor along each pixel's own ray."""
    directions = panorama.directions_of(camera.width, camera.height, degrees).view(-1, 3)
    directions = directions @ camera.world_from_cam[0, :3, :3].T
    return world.along(camera.world_from_cam[0, :3, 3].expand_as(directions), directions, (camera.height, camera.width))


@pytest.mark.parametrize("degrees", [360, 180])
def test_a_panorama_is_what_rays_see(degrees: int) -> None:
    camera = camera_at((0.7, 0.2, 0.1), degrees // 360 * 160 or 128, 80 if degrees == 360 else 128)
    drawn, truth = panorama.panorama(draw.of_model(world.Model()), degrees)(camera, ALL), exact(camera, degrees)
    assert drawn.rgb is not None and drawn.depth is not None and drawn.alpha is not None and drawn.normal is not None
    assert truth.rgb is not None and truth.depth is not None and truth.alpha is not None and truth.normal is not None
    alike = (drawn.rgb - truth.rgb).abs().amax(-1) < 0.06
    assert float(alike.float().mean()) > 0.75  # the others are at the edges of the floor's squares
    assert float((drawn.rgb - truth.rgb).mean((0, 1)).abs().max()) < 0.01
    near = (truth.depth > 0) & (truth.depth < 2) & (drawn.depth > 0)
    assert near.any() and float(((drawn.depth - truth.depth).abs() / truth.depth)[near].quantile(0.9)) < 0.03
    assert float((drawn.alpha - truth.alpha).abs().mean()) < 0.02
    assert float((drawn.normal * truth.normal).sum(-1)[near].median()) > 0.999


def test_equirectangular_pixels_are_those_of_the_camera_model() -> None:
    pixels = cameras.pixel_centers(24, 12).view(-1, 2)
    pinhole = Cameras(torch.eye(4)[None], torch.ones(1, 4), 24, 12, "equirect")
    rays = cameras.rays(pinhole, torch.zeros(len(pixels), dtype=torch.int64), pixels)
    assert torch.allclose(panorama.directions_of(24, 12, 360).view(-1, 3), rays.directions, atol=1e-6)
    half = panorama.directions_of(12, 12, 180)
    assert torch.allclose(half, panorama.directions_of(24, 12, 360)[:, 6:18], atol=1e-6)


def test_no_seams_between_faces_of_gaussians() -> None:
    """What lies across the edges of faces looks as it does in the middle of a face: turned by half a face."""
    generator, here = torch.Generator().manual_seed(0), torch.device("cpu")
    model = Model.create(Config(), world.scene_of(world.ring(4)), choose_core("auto", here), here)
    count = 4000
    places = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    model.params = {
        "means": places * (2 + torch.rand(count, 1, generator=generator)),
        "quats": torch.randn(count, 4, generator=generator),
        "log_scales": torch.rand(count, 3, generator=generator) - 2.6,
        "logit_opacities": logit_from_opacity(torch.full((count,), 0.8)),
        "sh": dc_from_rgb(torch.rand(count, 3, generator=generator))[:, None],
    }
    width, drawing = 256, panorama.panorama(draw.of_model(model))
    straight = camera_at((0.01, 0.0, 0.0), width, width // 2)
    turn = torch.eye(4)
    turn[0, 0] = turn[2, 2] = math.cos(math.pi / 4)
    turn[0, 2], turn[2, 0] = math.sin(math.pi / 4), -math.sin(math.pi / 4)
    turned = Cameras(straight.world_from_cam @ turn, straight.intrinsics, width, width // 2)
    first, second = (drawing(camera, frozenset({"rgb"})).rgb for camera in (straight, turned))
    assert first is not None and second is not None and float(first.std()) > 0.1
    difference = (first - second.roll(width // 8, 1)).abs().mean((0, 2))  # of each column
    steps = (first[:, 1:] - first[:, :-1]).abs().mean((0, 2))
    edges = torch.arange(width // 8, width, width // 4)  # where faces meet
    assert float(difference.mean()) < 0.03
    assert float(steps[edges - 1].max()) < 1.5 * float(steps.median())  # no jump there
    around = (first[:, 0] - first[:, -1]).abs().mean()
    assert float(around) < 1.5 * float(steps.median())  # nor where the picture's ends meet


def test_panoramas_are_upright() -> None:
    eyes = torch.tensor([[0.5, 0.0, 0.8], [0.0, -0.3, -0.4], [0.0, 1e-6, 2.0]])
    poses = cameras.look_at(eyes, torch.zeros(3), world.UP)
    level = panorama.level(Cameras(poses, torch.ones(3, 4), 4, 4), 20, 10)
    assert (level.width, level.height) == (20, 10)
    rotation = level.world_from_cam[:, :3, :3]
    assert torch.allclose(rotation[:, :, 1], torch.tensor([0.0, 0, -1]).expand(3, 3))
    assert torch.allclose(rotation @ rotation.transpose(1, 2), torch.eye(3).expand(3, 3, 3), atol=1e-6)
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(3))
    assert torch.allclose(rotation[:2, :, 2], torch.tensor([[-1.0, 0, 0], [0, 1, 0]]), atol=1e-6)  # the heading stays


def test_eyes_see_the_focus_in_the_screen_and_what_is_nearer_before_it() -> None:
    pose = cameras.look_at(torch.tensor([0.0, -2, 0.5]), torch.zeros(3), world.UP)
    camera = Cameras(pose[None], torch.tensor([[100.0, 100, 50, 40]]), 100, 80)
    left, right = (stereo.eye(camera, offset, True) for offset in (-0.05, 0.05))
    places = torch.stack([torch.zeros(3), pose[:3, 3] / 2, -pose[:3, 3]])  # the focus, nearer, farther
    seen = [cameras.project(eye, places)[0][0] for eye in (left, right)]
    disparity = (seen[0] - seen[1])[:, 0]
    assert abs(float(disparity[0])) < 1e-4 and float(disparity[1]) > 1 and float(disparity[2]) < -1
    assert torch.allclose(seen[0][:, 1], seen[1][:, 1], atol=1e-4)
    straight = stereo.eye(camera, 0.05, False)
    assert torch.equal(straight.intrinsics, camera.intrinsics)
    moved = straight.world_from_cam[0, :3, 3] - pose[:3, 3]
    assert torch.allclose(moved, 0.05 * pose[:3, 0], atol=1e-7)


@pytest.mark.parametrize(("layout", "size"), [("side-by-side", (48, 128)), ("over-under", (96, 64))])
def test_layouts(layout: stereo.Layout, size: tuple[int, int]) -> None:
    pose = cameras.look_at(torch.tensor([0.0, -1, 0.3]), torch.zeros(3), world.UP)
    camera = Cameras(pose[None], torch.tensor([[60.0, 60, 32, 24]]), 64, 48)
    plain = draw.of_model(world.Model())
    both = stereo.stereo(plain, layout, 0.1, True)(camera, ALL)
    assert both.rgb is not None and both.depth is not None and both.rgb.shape == (*size, 3) and both.depth.shape == size
    left = plain(stereo.eye(camera, -0.05, True), ALL).rgb
    assert left is not None and torch.equal(both.rgb[:48, :64], left)
    assert not torch.equal(both.rgb[-48:, -64:], left)


def test_eye_distances() -> None:
    pose = cameras.look_at(torch.tensor([[0.0, -1.5, 0], [1.5, 0, 0]]), torch.zeros(3), world.UP)
    path = Cameras(pose, torch.ones(2, 4), 4, 4)
    assert stereo.default_distance(path, None) == pytest.approx(0.05)
    assert stereo.default_distance(path, 0.5) == pytest.approx(0.0315)  # scene units of 2 metres


@pytest.mark.parametrize(
    ("layout", "degrees", "expected"),
    [
        ("side-by-side", None, {"type": "side by side"}),
        ("over-under", None, {"type": "top and bottom"}),
        (None, 360, {"projection": "equirectangular"}),
        ("side-by-side", 180, {"type": "side by side", "projection": "tiled equirectangular"}),
    ],
)
def test_players_know_what_they_see(
    tmp_path: Path, layout: stereo.Layout | None, degrees: int | None, expected: dict[str, str]
) -> None:
    frames = [np.full((64, 128, 3), 20 * index, np.uint8) for index in range(12)]
    path = video.write(tmp_path / "out.mp4", frames)
    before = probe.decoded(path)
    spherical.mark(path, layout, degrees)
    (one,) = probe.streams(path, "-show_streams")["streams"]
    found = {key: value for data in one["side_data_list"] for key, value in data.items()}
    assert {key: found[key] for key in expected} == expected
    assert ("projection" in found) == (degrees is not None) and ("type" in found) == (layout is not None)
    if degrees == 180:
        assert found["bound_left"] == pytest.approx(64, abs=1) and found["bound_right"] == pytest.approx(64, abs=1)
        assert found["bound_top"] == found["bound_bottom"] == 0
    assert np.array_equal(probe.decoded(path), before) and len(before) == 12  # chunks are found where they now are
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mp4"]


def test_what_cannot_be_marked(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\x08mdat")
    with pytest.raises(NerfkitError, match=r"out\.mp4: no MP4 that begins with its index"):
        spherical.mark(path, None, 360)
