"""What the database gets: cameras that start from EXIF where it can be believed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nerfkit.poses import stage


def features(folder: Path, **group: Any) -> tuple[list[float], bool]:
    """Parameters of the one camera, and whether COLMAP takes its focal length for known."""
    import pycolmap

    names = sorted(file.name for file in folder.iterdir())
    arguments = {
        "database": str(folder.parent / "f.db"), "folder": str(folder), "camera_model": "OPENCV",
        "groups": [{"names": names, "size": (320, 240)} | group],
        "settings": {"max_image_size": 320, "max_num_features": 200, "first_octave": 0},
    }  # fmt: skip
    stage.run("features", arguments, folder.parent / "log", lambda *_: None)
    with pycolmap.Database.open(folder.parent / "f.db") as database:
        (camera,) = database.read_all_cameras()
    return list(camera.params), camera.has_prior_focal_length


@pytest.fixture
def photos(tmp_path: Path) -> Callable[[int], Path]:
    def write(film: int) -> Path:
        exif = Image.Exif()
        exif.get_ifd(34665)[41989] = film
        (tmp_path / "photos").mkdir()
        for seed in range(2):
            noise = np.random.default_rng(seed).integers(0, 255, (24, 32, 3), dtype=np.uint8)
            big = Image.fromarray(noise).resize((320, 240))
            big.save(tmp_path / "photos" / f"{seed}.jpg", exif=exif.tobytes())
        return tmp_path / "photos"

    return write


def test_a_known_focal_length_is_started_from(photos: Callable[[int], Path]) -> None:
    params, known = features(photos(65000), focal_px=300.5)
    assert params == [300.5, 300.5, 160, 120, 0, 0, 0, 0]
    assert known


def test_a_wrong_focal_length_is_not(photos: Callable[[int], Path]) -> None:
    params, known = features(photos(65000), focal_px=None)
    assert params == [384, 384, 160, 120, 0, 0, 0, 0]  # 1.2 times the longer side
    assert not known


def test_without_exif_the_focal_length_is_a_guess(photos: Callable[[int], Path]) -> None:
    params, known = features(photos(0), focal_px=None)
    assert params[0] == 384
    assert not known
