"""Sets of photos as people have them: with pictures of other things, turned, of two sizes, in no order."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import skimage
from PIL import Image

from nerfkit import poses
from nerfkit.poses.compare import pose_errors, read_poses

pytestmark = pytest.mark.slow

OTHERS = ("astronaut.png", "coffee.png", "chelsea.png")


def mixed(photos: Path, folder: Path) -> dict[str, str]:
    """Writes 24 photos of the scene and 3 of other things in shuffled order, every third turned by EXIF, every fourth
    smaller. Gives the new names of those of the scene, with their old ones."""
    others = [Path(skimage.__file__).parent / "data" / name for name in OTHERS]
    sources = [*sorted(photos.glob("*.jpg"))[:24], *others]
    names = {}
    for index, number in enumerate(np.random.default_rng(5).permutation(len(sources))):
        source = sources[number]
        with Image.open(source) as image:
            picture = image.convert("RGB")
        if source in others:
            picture = picture.resize((640, 480), Image.Resampling.LANCZOS)
        else:
            names[f"IMG_{index:04d}"] = source.stem
        if index % 4 == 3:
            picture = picture.resize((560, 420), Image.Resampling.LANCZOS)
        exif = Image.Exif()
        if index % 3 == 2:
            exif[274] = 6
            picture = picture.transpose(Image.Transpose.ROTATE_90)
        picture.save(folder / f"IMG_{index:04d}.jpg", exif=exif, quality=97)
    return names


def test_pictures_of_other_things_are_reported_and_left_out(
    still_life: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    names = mixed(still_life / "photos", folder)
    report = poses.estimate(folder, tmp_path / "out")
    assert (report.photos, report.registered, report.cameras) == (27, 24, 2)
    assert report.unregistered == sorted({f"IMG_{index:04d}.jpg" for index in range(27)} - {f"{n}.jpg" for n in names})
    assert (report.doubts, report.attempts) == ([], 1)
    assert "match no other photo: blurred, or of something else" in caplog.text
    estimated = [(names[Path(name).stem], pose) for name, pose in read_poses(tmp_path / "out" / "transforms.json")]
    errors = pose_errors(estimated, read_poses(still_life / "truth" / "transforms.json"))
    assert errors.photos == 24
    assert errors.position_percent_max < 0.5
    assert errors.rotation_deg_max < 0.3


def test_two_scenes_in_one_folder_are_two_groups(
    still_life: Path, shared_data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for photo in sorted((still_life / "photos").glob("*.jpg"))[:14]:
        (folder / f"a{photo.name}").write_bytes(photo.read_bytes())
    for photo in sorted((shared_data / "fox" / "images").glob("*.jpg"))[:7]:
        (folder / f"b{photo.name}").write_bytes(photo.read_bytes())
    report = poses.estimate(folder, tmp_path / "out", poses.PoseOptions(quality="draft"))
    assert report.registered == 14
    assert report.matcher == "preview"
    assert [len(group) for group in report.groups] == [7]
    assert all(name.startswith("b") for name in report.groups[0])
    assert re.search(r"7 photos \(b\S+ … b\S+\) match each other but don't connect to the rest", caplog.text)


@pytest.mark.parametrize(("matcher", "count"), [("retrieval", 54), ("preview", 30)])  # too many to try all pairs
def test_the_same_poses_are_found_from_fewer_pairs(
    still_life: Path, tmp_path: Path, matcher: Literal["retrieval", "preview"], count: int
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for photo in sorted((still_life / "photos").glob("*.jpg"))[:count]:
        shutil.copy(photo, photos)
    options = poses.PoseOptions(quality="draft", matcher=matcher)
    report = poses.estimate(photos, tmp_path / "out", options)
    assert (report.matcher, report.registered) == (matcher, count)
    errors = pose_errors(
        read_poses(tmp_path / "out" / "transforms.json"), read_poses(still_life / "truth" / "transforms.json")
    )
    assert errors.position_percent_max < 0.2
