"""LLFF's ``poses_bounds.npy``: cameras, depth bounds, smaller copies of the photos, and every wrong input."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import COUNT, FOCAL, HEIGHT, WIDTH, llff_rows, names, poses, write_colmap, write_llff, write_photos

from nerfkit.cameras import look_at, project
from nerfkit.data.readers import read
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError


def test_cameras_come_back(tmp_path: Path) -> None:
    scene = read(write_llff(tmp_path))
    assert [view.path.name for view in scene.views] == names()
    found = torch.cat([view.camera.world_from_cam for view in scene.views])
    assert torch.allclose(found, poses(), atol=1e-12)
    assert torch.allclose(torch.linalg.det(found[:, :3, :3]), torch.ones(COUNT, dtype=torch.float64))
    for view in scene.views:
        assert view.camera.model == "pinhole" and view.camera.distortion is None
        assert view.camera.intrinsics[0].tolist() == [FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2]
    assert len(scene.points) == 0 and not scene.held_out
    assert [view.bounds for view in scene.views] == [tuple(row[15:]) for row in llff_rows()]
    assert len(read(tmp_path / "poses_bounds.npy").views) == COUNT


def test_the_axes_are_those_of_llff(tmp_path: Path) -> None:
    """One camera written out by hand: at the origin, it looks along +y with +z up, so right is +x."""
    rows = llff_rows()
    down, right, backwards = [0, 0, -1], [1, 0, 0], [0, -1, 0]
    rows[:, :15] = np.stack([down, right, backwards, [0, 0, 0], [HEIGHT, WIDTH, FOCAL]], 1).ravel()
    first = read(write_llff(tmp_path, rows)).views[0].camera
    pixels, depth = project(first, torch.tensor([[0.0, 5.0, 0.0], [1.0, 5.0, 1.0]], dtype=torch.float64))
    assert depth[0].tolist() == [5, 5]
    assert pixels[0].tolist() == [[WIDTH / 2, HEIGHT / 2], [WIDTH / 2 + FOCAL / 5, HEIGHT / 2 - FOCAL / 5]]


def test_smaller_copies_stand_in_for_missing_photos(tmp_path: Path) -> None:
    write_llff(tmp_path, photos="images_4", shrink=4)
    write_photos(tmp_path / "images_16", WIDTH // 16, HEIGHT // 16)
    view = read(tmp_path).views[0]
    assert view.path.parent.name == "images_4"
    assert (view.camera.width, view.camera.height) == (WIDTH // 4, HEIGHT // 4)
    assert view.camera.intrinsics[0].tolist() == [FOCAL / 4, FOCAL / 4, WIDTH / 8, HEIGHT / 8]
    assert read(tmp_path, tmp_path / "images_16").views[0].camera.width == WIDTH // 16
    write_photos(tmp_path / "images")
    assert read(tmp_path).views[0].camera.width == WIDTH


def test_other_files_among_the_photos_do_not_count(tmp_path: Path) -> None:
    write_llff(tmp_path)
    for name in ("._photo_00.png", "Thumbs.db", "readme.txt"):
        (tmp_path / "images" / name).write_bytes(b"")
    assert len(read(tmp_path).views) == COUNT


def test_a_colmap_model_beside_it_comes_first(tmp_path: Path) -> None:
    write_colmap(write_llff(tmp_path))
    assert len(read(tmp_path).points) == 30
    assert len(read(tmp_path / "poses_bounds.npy").points) == 0


def test_bounds_go_into_the_scene_frame_and_are_kept(tmp_path: Path) -> None:
    scene = Scene.load(write_llff(tmp_path / "ring"))
    assert scene.held_out == [0, 8] and scene.points_are_random
    scale = scene.scene_from_world.scale
    assert scale != pytest.approx(1)
    for view, row in zip(scene.views, llff_rows(), strict=True):
        assert view.bounds == pytest.approx(tuple(row[15:] * scale))
    scene.save(tmp_path / "run")
    assert [view.bounds for view in Scene.open(tmp_path / "run").views] == [view.bounds for view in scene.views]


def test_scenes_without_bounds_open(tmp_path: Path) -> None:
    """Other formats have none, and neither have scenes saved before there were any."""
    Scene.load(write_colmap(tmp_path / "ring")).save(tmp_path / "run")
    assert {view.bounds for view in Scene.open(tmp_path / "run").views} == {None}
    file = tmp_path / "run" / "scene.json"
    data = json.loads(file.read_text())
    for view in data["views"]:
        del view["bounds"]
    file.write_text(json.dumps(data))
    assert {view.bounds for view in Scene.open(tmp_path / "run").views} == {None}


def test_bounds_that_say_nothing_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = llff_rows()
    rows[1, 15:], rows[2, 15:] = (0.0, 5.0), (3.0, 3.0)
    with caplog.at_level(logging.WARNING, logger="nerfkit"):
        scene = Scene.load(write_llff(tmp_path, rows))
    assert [view.name for view in scene.views if view.bounds is None] == ["photo_01", "photo_02"]
    assert "the depth bounds of 2 views are not 0 < near < far" in caplog.text
    assert len(scene.points) == 20_000


def test_a_capture_that_faces_forward_is_centred_on_what_it_shows(tmp_path: Path) -> None:
    """Parallel axes have no focus of their own, and the bounds tell how far away the scene is."""
    x, y = torch.meshgrid(torch.linspace(-1, 1, 5), torch.linspace(-0.3, 0.3, 2), indexing="ij")
    eyes = torch.stack([x.ravel(), torch.zeros(COUNT), y.ravel()], 1).double()
    ahead = look_at(eyes, eyes + torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, 1.0]).double())
    rows = llff_rows()
    for row, pose in zip(rows, ahead.numpy(), strict=True):
        right, down, forward, place = pose[:3].T
        row[:15] = np.stack([down, right, -forward, place, [HEIGHT, WIDTH, FOCAL]], 1).ravel()
        row[15:] = 10, 30
    scene = Scene.load(write_llff(tmp_path, rows))
    focus = scene.scene_from_world.inverse().points(torch.zeros(3, dtype=torch.float64))
    assert focus.tolist() == pytest.approx([0, 15, 0], abs=0.35)  # halfway between 10 and 30 in 1 / depth
    assert scene.points_are_random and len(scene.points) == 20_000


def _save(change: Callable[[np.ndarray], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        np.save(folder / "poses_bounds.npy", change(llff_rows()))

    return apply


def _with(column: int, value: float) -> Callable[[Path], None]:
    def change(rows: np.ndarray) -> np.ndarray:
        rows[2, column] = value
        return rows

    return _save(change)


def _mirrored(rows: np.ndarray) -> np.ndarray:
    rows[2, [0, 5, 10]] *= -1  # up, right, backwards
    return rows


def _one_photo_less(folder: Path) -> None:
    (folder / "images" / "photo_03.png").unlink()


def _no_photos(folder: Path) -> None:
    for name in names():
        (folder / "images" / name).unlink()


def _other_shape(folder: Path) -> None:
    write_photos(folder / "images", 48, 64)


def _cut(folder: Path) -> None:
    os.truncate(folder / "poses_bounds.npy", 300)


def _no_numpy(folder: Path) -> None:
    (folder / "poses_bounds.npy").write_bytes(b"no array")


def _nothing(folder: Path) -> None:
    (folder / "poses_bounds.npy").write_bytes(b"")


SHAPE = "its shape must be N x 17, a row for each photo, and is"
WRONG = [
    (_save(lambda rows: rows[:, :15]), f"{SHAPE} 10 x 15; make it again"),
    (_save(lambda rows: rows.T), f"{SHAPE} 17 x 10; make it again"),
    (_save(lambda rows: rows[0]), f"{SHAPE} 17; make it again"),
    (_save(lambda rows: rows[0, 0]), f"{SHAPE} one number; make it again"),
    (_save(lambda rows: rows.astype(str)), "not an array of numbers; write LLFF's N x 17 array, a row for each photo"),
    (_cut, "not a readable NumPy array ("),
    (_no_numpy, "not a readable NumPy array ("),
    (_nothing, "not a readable NumPy array ("),
    (_save(lambda rows: rows[:8]), "8 poses, but 10 photos in {folder}/images; leave only the photos that the poses "
     "were made from"),
    (_one_photo_less, "10 poses, but 9 photos in {folder}/images; leave only the photos that the poses were made from"),
    (_no_photos, "no photos in {folder}/images or images_2, images_4…; put them there, or name their folder with "
     "--images"),
    (_with(4, 0), "the row of photo_02.png has height 0, width 64 and focal length 60; write them in pixels"),
    (_with(9, np.nan), "the row of photo_02.png has height 48, width nan and focal length 60; write them in pixels"),
    (_with(14, 0), "photo_02.png has no positive focal length; correct its intrinsics"),
    (_with(3, np.inf), "the pose of photo_02.png is not rigid"),
    (_save(_mirrored), "the pose of photo_02.png is not rigid"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "words"), WRONG)
def test_wrong_files(tmp_path: Path, spoil: Callable[[Path], None], words: str) -> None:
    spoil(write_llff(tmp_path))
    with pytest.raises(NerfkitError) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/poses_bounds.npy: {words.format(folder=tmp_path)}")
    assert "\n" not in str(caught.value)


def test_photos_of_another_shape(tmp_path: Path) -> None:
    _other_shape(write_llff(tmp_path))
    with pytest.raises(NerfkitError, match=r"photo_00\.png: the photo is 48x64 but its camera is 64x48"):
        read(tmp_path)


def test_no_photos_in_the_folder_that_was_named(tmp_path: Path) -> None:
    write_llff(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NerfkitError, match=r"no photos in .*/empty; put them there"):
        read(tmp_path, tmp_path / "empty")
