"""The same photos, options and seed give the same poses, to the byte, whatever order COLMAP's threads end in."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_mapping import Heard

from nerfkit import poses
from nerfkit.poses import features, repeatable

MODEL = ("cameras", "images", "points3D", "frames", "rigs")
FILES = ("transforms.json", "sparse_pc.ply", *(f"colmap/sparse/0/{part}.bin" for part in MODEL))


def test_twice_the_same(posed: tuple[Path, poses.PoseReport], ten_photos: Path) -> None:
    heard: list[tuple[str, int, int]] = []
    out = ten_photos.parent / "repeated"
    poses.estimate(ten_photos, out, poses.PoseOptions(quality="draft"), lambda *told: heard.append(told))
    assert_the_same(posed[0], out)
    ends = [stage for stage, done, total in heard if done == total]
    assert list(dict.fromkeys(ends)) == [
        "photos", "features", "matching", "mapping", "adjusting", "checking", "colours", "page",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_real_capture_twice_the_same(shared_data: Path, tmp_path: Path) -> None:
    """Several of its pairs are good ones to begin with."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in (shared_data / "sceaux").iterdir():
        shutil.copy(photo, photos)
    for out in ("one", "two"):
        poses.estimate(photos, tmp_path / out, poses.PoseOptions(quality="draft", seed=1))
    assert_the_same(tmp_path / "one", tmp_path / "two")


def test_photos_are_numbered_by_their_names(tmp_path: Path) -> None:
    """Not by when their features are found: the first one is the largest, and of the camera that comes last."""
    import pycolmap

    sizes = {"a.png": (900, 700), "b.png": (120, 90), "c.png": (120, 90), "d.png": (320, 240)}
    rng = np.random.default_rng(0)
    for name, (width, height) in sizes.items():
        noise = rng.integers(0, 255, (height // 10, width // 10, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((width, height)).save(tmp_path / name)
    groups = [
        {"names": names, "size": sizes[names[0]], "focal_px": focal}
        for names, focal in ((["d.png"], None), (["c.png", "b.png"], 100.0), (["a.png"], 800.0))
    ]
    settings = {"max_image_size": 400, "max_num_features": 500, "first_octave": 0}
    features.work(Heard(), str(tmp_path / "f.db"), str(tmp_path), groups, "OPENCV", settings)
    with pycolmap.Database.open(tmp_path / "f.db") as database:
        images = {image.name: image for image in database.read_all_images()}
        assert {name: image.image_id for name, image in images.items()} == dict(zip(sizes, range(1, 5)))
        for name, image in images.items():
            camera = database.read_camera(image.camera_id)
            assert (camera.width, camera.height) == sizes[name]
            known = {"a.png": 800, "d.png": None}.get(name, 100)
            assert camera.params[0] == (known or 1.2 * 320)
            assert camera.has_prior_focal_length == (known is not None)
        assert database.num_cameras() == 3 and database.num_frames() == 4


def test_only_many_photos_have_several_threads() -> None:
    few, many = repeatable.ONE_THREAD, repeatable.ONE_THREAD + 1
    assert repeatable.pipeline(3, few).num_threads == repeatable.adjustment(few).ceres.solver_options.num_threads == 1
    assert repeatable.pipeline(3, many).num_threads == -1
    assert repeatable.pipeline(3, few).random_seed == repeatable.pipeline(3, few).triangulation.random_seed == 3


def rows(database: Path) -> dict[str, int]:
    """A number for the rows of each table, in whatever order they are."""
    with closing(sqlite3.connect(database)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: hash(frozenset(connection.execute(f"SELECT * FROM {name}").fetchall())) for name in names}


def assert_the_same(one: Path, two: Path) -> None:
    for stage in ("features", "matching"):  # first, to see from where on they differ
        assert rows(one / ".cache" / f"{stage}.db") == rows(two / ".cache" / f"{stage}.db"), stage
    for name in FILES:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name
    reports = [json.loads((out / "poses.json").read_text()) for out in (one, two)]
    for report in reports:
        del report["seconds"]
    assert reports[0] == reports[1]
