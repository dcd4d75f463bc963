"""Wide pictures against the exact model's own rays, stereo against geometry, and what ffprobe reads of their boxes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import probe
import pytest
import torch
import world
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Cameras, Rays, Rendering
from nerfkit.core import choose_core
from nerfkit.errors import NerfkitError
from nerfkit.models.gaussians.config import Config
from nerfkit.models.gaussians.model import Model
from nerfkit.progress import ProgressSink, quiet
from nerfkit.value_transforms import dc_from_rgb, logit_from_opacity
from nerfkit.views import draw, panorama, parts, spherical, stereo, video
from nerfkit.views.lenses import Equirect, Fisheye, Lens, eyes_apart

ALL: draw.Channels = frozenset({"rgb", "alpha", "depth", "normal"})


def camera_at(eye: tuple[float, float, float], width: int, height: int) -> Cameras:
    pose = cameras.look_at(torch.tensor(eye), torch.zeros(3), world.UP)
    return panorama.level(Cameras(pose[None], torch.ones(1, 4), 1, 1), width, height)


class ByRays(world.Model):
    """The ball, for whom rays are as good as cameras."""

    def render(self, camera: Cameras, channels: draw.Channels = ALL, progress: ProgressSink = quiet) -> Rendering:
        raise AssertionError("rays were to be drawn")

    def draw_rays(self, rays: Rays, channels: draw.Channels = ALL) -> Rendering:
        return world.along(rays.origins, rays.directions, (len(rays.origins),))


def exact(camera: Cameras, lens: Lens) -> Rendering:
    """The ball and its floor along each pixel's own ray."""
    return panorama.along_rays(ByRays(), lens)(camera, ALL)


LENSES: list[tuple[Lens, int, int]] = [
    (Equirect(), 160, 80), (Equirect(180), 128, 128), (Equirect(360, -0.05), 192, 96), (Equirect(360, 0.05), 192, 96),
    (Fisheye(), 140, 120),
]  # fmt: skip


@pytest.mark.parametrize(("lens", "width", "height"), LENSES)
def test_a_wide_picture_is_what_rays_see(lens: Lens, width: int, height: int) -> None:
    camera = camera_at((0.7, 0.2, 0.1), width, height)
    camera = replace(camera, intrinsics=torch.tensor([[40.0, 40.0, width / 2, height / 2]]))
    drawn, truth = panorama.panorama(draw.of_model(world.Model()), lens)(camera, ALL), exact(camera, lens)
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
    assert torch.equal(Equirect().rays(pinhole, pixels).directions, rays.directions)
    half = Equirect(180).rays(replace(pinhole, width=12), cameras.pixel_centers(12, 12).view(-1, 2)).directions
    assert torch.allclose(half.view(12, 12, 3), rays.directions.view(12, 24, 3)[:, 6:18], atol=1e-6)


def test_a_fisheye_is_colmaps_without_distortion() -> None:
    pose = cameras.look_at(torch.tensor([0.3, -2, 0.5]), torch.zeros(3), world.UP)
    camera = Cameras(pose[None], torch.tensor([[30.0, 32, 41, 39]]), 80, 76, "fisheye", torch.zeros(1, 4))
    pixels = cameras.pixel_centers(80, 76).view(-1, 2)[::7]
    truth = cameras.rays(camera, torch.zeros(len(pixels), dtype=torch.int64), pixels)
    found = Fisheye().rays(camera, pixels)
    assert torch.allclose(found.directions, truth.directions, atol=1e-6)
    assert torch.equal(found.origins, truth.origins) and torch.equal(found.radii, truth.radii)
    behind = Fisheye().rays(camera, torch.tensor([[41 + 30 * math.pi * 0.999, 39.0], [500.0, 39.0]])).directions
    assert torch.allclose(behind @ pose[:3, 2], torch.full((2,), -1.0), atol=1e-4)


@pytest.mark.parametrize("by_rays", [True, False])
def test_both_eyes_are_right_in_all_directions(by_rays: bool) -> None:
    """A post around the head at ``far``: from eyes ``apart`` its angle is asin(apart / 2 / far) to either side."""
    far, apart, (width, height) = 1.5, 0.1, (720, 360)

    def posts(o: Tensor, d: Tensor, shape: tuple[int, ...]) -> Rendering:
        """White lines, 24 of them, on a black cylinder of radius ``far`` around the z axis."""
        a = (d[:, :2] ** 2).sum(1).clamp_min(1e-12)
        b = (o[:, :2] * d[:, :2]).sum(1)
        t = (-b + (b * b - a * ((o[:, :2] ** 2).sum(1) - far**2)).sqrt()) / a
        point = o + t[:, None] * d
        off = torch.remainder(torch.atan2(point[:, 1], point[:, 0]) * 12 / math.pi + 0.5, 1) - 0.5
        rgb = (1 - off.abs() / 0.1).clamp_min(0)[:, None].expand(-1, 3)
        return Rendering(rgb.reshape(*shape, 3), alpha=torch.ones(shape), depth=t.reshape(shape))

    class Posts(ByRays):
        def draw_rays(self, rays: Rays, channels: draw.Channels = ALL) -> Rendering:
            return posts(rays.origins, rays.directions, (len(rays.origins),))

    def pinhole(camera: Cameras, channels: draw.Channels, moment: float = 0.0) -> Rendering:
        pixels = cameras.pixel_centers(camera.width, camera.height).view(-1, 2)
        rays = cameras.rays(camera, torch.zeros(len(pixels), dtype=torch.int64), pixels)
        drawn = posts(rays.origins, rays.directions, (camera.height, camera.width))
        assert drawn.depth is not None
        drawn.depth *= (rays.directions @ camera.world_from_cam[0, :3, 2]).view_as(drawn.depth)
        return drawn

    camera = camera_at((1e-6, 0.0, 0.0), width, height)
    lenses = [Equirect(360, side * apart / 2) for side in (-1, 1)]
    eyes = [
        (panorama.along_rays(Posts(), lens) if by_rays else panorama.panorama(pinhole, lens))(camera, ALL)
        for lens in lenses
    ]
    for latitude in (0, 30, -30, 55):
        row = round((0.5 - latitude / 180) * height)
        angle = math.asin(apart / 2 / far * float(eyes_apart(torch.tensor(math.radians(latitude)))))
        columns = [middles(eye.rgb[row, :, 0]) for eye in eyes if eye.rgb is not None]
        assert [len(found) for found in columns] == [24, 24], latitude
        disparity = torch.remainder(columns[0] - columns[1], width / 24)  # of a post, whichever is each eye's first
        expected = torch.full((24,), 2 * angle / (2 * math.pi) * width)
        assert torch.allclose(disparity, expected, atol=0.15 if by_rays else 0.8), latitude
    poles = [eye.rgb[: height // 14] for eye in eyes if eye.rgb is not None]  # above 77 degrees
    assert torch.allclose(poles[0], poles[1], atol=1e-4) and float(poles[0].std()) > 0.1
    depths = [eye.depth[height // 2] for eye in eyes if eye.depth is not None]
    assert torch.allclose(torch.stack(depths), torch.tensor(math.sqrt(far**2 - apart**2 / 4)), rtol=4e-3)


def middles(row: Tensor) -> Tensor:
    """Where the bright runs of a row that goes around are, pixels."""
    start = int((row < 0.02).nonzero()[0])
    row = row.roll(-start)
    edges = torch.diff((row >= 0.02).int(), prepend=torch.zeros(1), append=torch.zeros(1))
    runs = zip((edges > 0).nonzero()[:, 0].tolist(), (edges < 0).nonzero()[:, 0].tolist(), strict=True)
    weighted = [(row[a:b] * torch.arange(a, b)).sum() / row[a:b].sum() + 0.5 for a, b in runs]
    return torch.stack(weighted) + start


def test_strips_are_parts_of_one_picture() -> None:
    camera = camera_at((0.5, 0.0, 0.0), 256, 128)
    total = torch.zeros(256 * 128)
    for part in parts.parts_of(Equirect(360, 0.03), camera):
        total.index_add_(0, part.target, part.share)
        assert torch.allclose(part.cam_from_part @ part.cam_from_part.T, torch.eye(3), atol=1e-6)
        assert float(torch.linalg.det(part.cam_from_part)) == pytest.approx(1)
        inside = (part.at >= 0) & (part.at <= torch.tensor(part.size))
        assert bool(inside.all()) and float(part.stretch.max()) < 2.5  # no part is stretched far
    assert torch.allclose(total, torch.ones_like(total), atol=1e-5)


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
    width, drawing = 256, panorama.panorama(draw.of_model(model), Equirect())
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
    eyes = [stereo.aside(plain, side * 0.05, True) for side in (-1, 1)]
    both = stereo.both(*eyes, layout)(camera, ALL)
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
        ("over-under", 360, {"type": "top and bottom", "projection": "equirectangular"}),
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
