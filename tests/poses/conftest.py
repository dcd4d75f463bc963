"""Ten photos of the bundled scene, and their poses: made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nerfkit import poses


@pytest.fixture(scope="session")
def ten_photos(still_life: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Neighbours at three heights and distances."""
    folder = tmp_path_factory.mktemp("capture") / "ten"
    folder.mkdir()
    for index in (0, 1, 2, 3, 20, 21, 22, 36, 37, 38):
        shutil.copy(still_life / "photos" / f"{index:04d}.jpg", folder)
    return folder


@pytest.fixture(scope="session")
def posed(ten_photos: Path) -> tuple[Path, poses.PoseReport]:
    out = ten_photos.parent / "posed"
    return out, poses.estimate(ten_photos, out, poses.PoseOptions(quality="draft"))
