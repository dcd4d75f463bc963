"""Panoramas split into views: where their pixels look, what is taken for a panorama, and poses with a known truth."""

from __future__ import annotations

import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import room
import torch
from PIL import Image
from test_fisheye import around
from torch import Tensor

from nerfkit import poses
from nerfkit.cameras import pixel_centers, rays
from nerfkit.capture import panorama, photos
from nerfkit.contracts import Cameras
from nerfkit.errors import NerfkitError
from nerfkit.poses import source
from nerfkit.poses.compare import pose_errors, read_poses

WIDTH = 1024
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:GPano="http://ns.google.com/photos/1.0/panorama/" GPano:ProjectionType="equirectangular"/>
</rdf:RDF></x:xmpmeta>"""


def turned(view: panorama.View, world_from_rig: Tensor) -> Tensor:
    """``world_from_cam`` [4, 4] of a view of the panorama at ``world_from_rig``."""
    rig_from_cam = torch.eye(4, dtype=torch.float64)
    rig_from_cam[:3, :3] = torch.tensor(view.rig_from_cam, dtype=torch.float64)
    return world_from_rig @ rig_from_cam


def test_a_view_looks_where_the_panorama_does() -> None:
    """A view's ray, by its pinhole camera, is the panorama's ray at the pixel that the view takes."""
    pose = around(3)[1:2]
    whole = Cameras(pose, torch.ones(1, 4, dtype=torch.float64), 600, 300, "equirect")
    for view in panorama.rig(600):
        camera = Cameras(
            turned(view, pose[0])[None], torch.tensor([view.intrinsics], dtype=torch.float64), view.size, view.size
        )
        pixels = pixel_centers(view.size, view.size, torch.float64).reshape(-1, 2)
        which = torch.zeros(len(pixels), dtype=torch.long)
        taken = torch.from_numpy(np.stack(panorama.maps(view, 600, 300), -1)).double().reshape(-1, 2) + 0.5
        difference = rays(camera, which, pixels).directions - rays(whole, which, taken).directions
        assert difference.abs().max() < 1e-5


def test_views_cover_all_but_what_lies_below() -> None:
    whole = Cameras(torch.eye(4)[None], torch.ones(1, 4), 180, 90, "equirect")
    pixels = pixel_centers(180, 90).reshape(-1, 2)
    looks = rays(whole, torch.zeros(len(pixels), dtype=torch.long), pixels).directions.double()
    seen = torch.zeros(len(looks), dtype=torch.long)
    for view in panorama.rig(600):
        x, y, z = (looks @ torch.tensor(view.rig_from_cam, dtype=torch.float64)).T
        seen += ((z > 0) & (x.abs() < z) & (y.abs() < z)).long()
    down = torch.rad2deg(torch.asin(looks[:, 1]))
    assert (seen[down < 35] >= 1).all()
    assert (seen[down > 45] == 0).all()
    assert (seen[down.abs() < 20] >= 1).all() and seen[down.abs() < 20].double().mean() > 1.3


def smooth(width: int) -> np.ndarray:
    """A panorama whose color tells its direction, without a seam."""
    whole = Cameras(torch.eye(4)[None], torch.ones(1, 4), width, width // 2, "equirect")
    pixels = pixel_centers(width, width // 2).reshape(-1, 2)
    looks = rays(whole, torch.zeros(len(pixels), dtype=torch.long), pixels).directions.numpy()
    return np.round(127.5 + 100 * looks).astype(np.uint8).reshape(width // 2, width, 3)


def save(path: Path, picture: np.ndarray, xmp: bytes = b"") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    quality = 95 + ord(path.stem[0]) % 3  # no two files are the same: copies of a photo are used once
    Image.fromarray(picture).save(path, quality=quality, **({"xmp": xmp} if xmp else {}))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    for name in "abc":
        save(tmp_path / "shots" / f"{name}.jpg", smooth(400), XMP)
    return tmp_path / "shots"


def test_views_show_the_colors_of_their_directions_without_a_seam(three: Path, tmp_path: Path) -> None:
    views = panorama.split(photos.find(three).photos, tmp_path / "views")
    assert len(list((tmp_path / "views").iterdir())) == 3 * len(views)
    for view in views:
        picture = np.asarray(Image.open(tmp_path / "views" / f"{view.prefix}b.jpg"), float)
        across = (np.arange(view.size) + 0.5) / (view.size / 2) - 1
        x, y = np.meshgrid(across, across)
        look = np.stack([x, y, np.ones_like(x)], -1) @ np.array(view.rig_from_cam).T
        look /= np.linalg.norm(look, axis=-1, keepdims=True)
        assert np.abs(picture - 127.5 - 100 * look).max() < 6


def test_what_is_a_panorama(three: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert panorama.are_panoramas(photos.find(three).photos, "OPENCV")
    for name in "abc":
        save(three / f"{name}.jpg", smooth(400))
    with caplog.at_level(logging.WARNING, "nerfkit"):
        assert not panorama.are_panoramas(photos.find(three).photos, "OPENCV")
    assert "360-degree panoramas, choose --camera-model EQUIRECTANGULAR" in caplog.text
    assert panorama.are_panoramas(photos.find(three).photos, "EQUIRECTANGULAR")
    save(three / "b.jpg", smooth(400)[:, :300])
    with pytest.raises(NerfkitError, match=re.escape(f"{three / 'b.jpg'}: is 300x200, no panorama")):
        panorama.are_panoramas(photos.find(three).photos, "EQUIRECTANGULAR")
    save(three / "a.jpg", smooth(400), XMP)
    with pytest.raises(
        NerfkitError, match=r"a\.jpg: is a 360-degree panorama, b\.jpg is none; put panoramas and other"
    ):
        panorama.are_panoramas(photos.find(three).photos, "OPENCV")


def test_views_of_panoramas_with_the_same_stem_have_their_own_names(three: Path, tmp_path: Path) -> None:
    save(three / "a.png", smooth(400) // 2)
    save(three / "d" / "e.jpg", smooth(400) // 3)
    save(three / "d__e.jpg", smooth(400) // 4)
    views = panorama.split(photos.find(three).photos, tmp_path / "views")
    assert len(list((tmp_path / "views").iterdir())) == 6 * len(views)


def test_panoramas_of_two_sizes(three: Path, tmp_path: Path) -> None:
    save(three / "b.jpg", smooth(300), XMP)
    with pytest.raises(NerfkitError, match=r"panoramas of different sizes \(300x150, 400x200\)"):
        panorama.split(photos.find(three).photos, tmp_path / "views")
    assert not (tmp_path / "views").exists()


def test_a_rerun_splits_nothing(three: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()

    def stages() -> set[str]:
        heard: list[str] = []
        found = source.photos_of(
            three, out, poses.PoseOptions(), lambda *_: None, lambda stage, *_: heard.append(stage)
        )
        assert len(found.photos) == 3 * len(found.rig)
        return set(heard)

    assert stages() == {"photos", "views of panoramas"}
    assert stages() == {"photos"}
    shutil.rmtree(out / "photos")
    assert "views of panoramas" in stages()


@pytest.mark.slow
def test_panoramas_of_a_room_find_their_places(tmp_path: Path) -> None:
    where = around(5)
    cameras = Cameras(where, torch.ones(5, 4, dtype=torch.float64), WIDTH, WIDTH // 2, "equirect")
    room.write(tmp_path / "photos", cameras, samples=1)
    out = tmp_path / "poses"
    report = poses.estimate(
        tmp_path / "photos", out, poses.PoseOptions(quality="draft", camera_model="EQUIRECTANGULAR")
    )
    rig = panorama.rig(WIDTH)
    assert (report.photos, report.registered) == (5 * len(rig), 5 * len(rig))
    truth = [(f"{view.prefix}{index:04d}.jpg", turned(view, pose)) for view in rig for index, pose in enumerate(where)]
    errors = pose_errors(read_poses(out / "transforms.json"), truth)
    assert errors.position_percent_max < 0.2
    assert errors.rotation_deg_max < 0.1
    frames = json.loads((out / "transforms.json").read_text())["frames"]
    assert {(frame["fl_x"], frame["cx"], frame["w"]) for frame in frames} == {
        (rig[0].size / 2, rig[0].size / 2, rig[0].size)
    }
    places = np.array([frame["transform_matrix"] for frame in frames])[:, :3, 3].reshape(len(rig), 5, 3)
    assert np.abs(places - places[0]).max() < 1e-9  # the views of one panorama are in one place
