"""Photos beyond Pillow's guard against decompression bombs, as phones of 200 megapixels make them. The guard is lowered
here, so that small ones are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nerfkit.capture import panorama, photos
from nerfkit.data.raw import RawScene, RawView, camera
from nerfkit.poses import checks, export_photos, model, page

WIDTH, HEIGHT = 128, 64


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        picture = Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
        exif = Image.Exif()
        exif.get_ifd(34665)[41989] = 26
        picture.save(tmp_path / "photos" / f"{name}.jpg", exif=exif)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    return tmp_path / "photos"


def view(path: Path) -> RawView:
    return RawView(path, camera(np.eye(4), [90.0, 90.0, WIDTH / 2, HEIGHT / 2], WIDTH, HEIGHT, None), name=path.stem)


def test_panoramas(folder: Path, tmp_path: Path) -> None:
    found = photos.find(folder).photos
    assert not panorama.are_panoramas(found, "OPENCV")
    views = panorama.split(found, tmp_path / "views")
    assert len(list((tmp_path / "views").iterdir())) == 3 * len(views)


def test_the_page_has_thumbnails(folder: Path) -> None:
    (uri,) = page._thumbnails([folder / "a.jpg"], 32)
    assert uri.startswith("data:image/jpeg")


def test_imported_ones_are_checked_and_copied(folder: Path, tmp_path: Path) -> None:
    one = view(folder / "a.jpg")
    assert checks.problems(RawScene(folder, [one])) == []
    model.place(one, tmp_path / "a.png")
    assert (tmp_path / "a.png").is_file()


def test_undistorted_ones_are_exported(folder: Path, tmp_path: Path) -> None:
    scene = RawScene(folder, [view(folder / "a.jpg"), view(folder / "b.jpg")])
    export_photos.write_flat(scene.views[0], export_photos.shared_camera(scene), tmp_path / "a.jpg")
    assert (tmp_path / "a.jpg").is_file()
