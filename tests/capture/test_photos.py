"""Photos found, checked and turned upright."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from corpus import STORED
from PIL import Image

from nerfkit.capture import photos as capture
from nerfkit.data.readers import read as read_scene
from nerfkit.errors import NerfkitError


def save_turned(source: Path, target: Path, orientation: int) -> None:
    with Image.open(source) as image:
        exif = image.getexif()
        exif[274] = orientation
        image.transpose(STORED[orientation]).save(target, exif=exif, quality=98, subsampling=0)


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), np.float32)


@pytest.fixture
def folder(still_life: Path, tmp_path: Path) -> Path:
    """Four good photos; the suffixes differ in case."""
    place = tmp_path / "shots"
    place.mkdir()
    for index, name in enumerate(("c.JPG", "a.jpg", "b.jpeg", "d.jpg")):
        shutil.copy(still_life / "photos" / f"{index:04d}.jpg", place / name)
    return place


def test_finds_photos_by_name_with_size_and_focal_length(folder: Path) -> None:
    found = capture.find(folder)
    assert [photo.name for photo in found.photos] == ["a.jpg", "b.jpeg", "c.JPG", "d.jpg"]
    assert {(photo.width, photo.height, photo.orientation) for photo in found.photos} == {(640, 480, 1)}
    focal = found.photos[0].focal_px
    assert focal is not None
    assert abs(focal - 568.889) < 0.01  # 32 mm on 36 mm, 640 pixels: what the scene was rendered with
    assert len({photo.digest for photo in found.photos}) == 4


def test_finds_photos_in_the_subfolder_of_a_scene(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "scene").mkdir()
    inside = folder.rename(tmp_path / "scene" / "images")
    assert capture.find(tmp_path / "scene").folder == inside


def test_photos_without_exif_are_welcome(folder: Path) -> None:
    with Image.open(folder / "a.jpg") as image:
        Image.fromarray(np.asarray(image)).save(folder / "a.jpg")
    photo = capture.find(folder).photos[0]
    assert photo.focal_px is None
    assert photo.lens == ("", "", "", "")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_truncated_photo_is_left_out_and_named(folder: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    broken = folder / f"broken{suffix}"
    with Image.open(folder / "a.jpg") as image:
        image.save(broken)
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    with caplog.at_level(logging.WARNING, "nerfkit"):
        found = capture.find(folder)
    assert len(found.photos) == 4
    assert found.unreadable == [broken.name]
    assert [record for record in caplog.records if str(broken) in record.getMessage()]


def test_empty_file_and_text_are_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "e.jpg").write_bytes(b"")
    (folder / "f.png").write_text("not a picture")
    (folder / "._a.jpg").write_bytes(b"resource fork")
    assert capture.find(folder).unreadable == ["e.jpg", "f.png"]
    assert "empty" in caplog.text
    assert "not a picture" in caplog.text


def test_upright_photos_stay_where_they_are(folder: Path, tmp_path: Path) -> None:
    placed = capture.upright(capture.find(folder).photos, tmp_path / "out")
    assert placed.folder == folder
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("orientation", STORED)
def test_orientation_is_applied_once(folder: Path, tmp_path: Path, orientation: int) -> None:
    original = pixels(folder / "a.jpg")
    save_turned(folder / "a.jpg", folder / "turned.jpg", orientation)
    found = capture.find(folder)
    photo = found.photos[-1]
    assert (photo.name, photo.width, photo.height) == ("turned.jpg", 640, 480)
    placed = capture.upright(found.photos, tmp_path / "out")
    assert sorted(file.name for file in placed.folder.iterdir()) == [photo.name for photo in found.photos]
    assert np.abs(pixels(placed.folder / "turned.jpg") - original).mean() < 2
    assert (placed.folder / "b.jpeg").read_bytes() == (folder / "b.jpeg").read_bytes()
    again = capture.find(placed.folder).photos[-1]
    assert again.orientation == 1
    assert again.focal_px == photo.focal_px  # EXIF is still there


def test_webp_becomes_a_format_that_colmap_reads(folder: Path, tmp_path: Path) -> None:
    with Image.open(folder / "a.jpg") as image:
        image.save(folder / "a.webp", lossless=True)  # a.jpg is taken
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        image.save(folder / "e.webp", lossless=True)
    placed = capture.upright(capture.find(folder).photos, tmp_path / "out")
    assert sorted(placed.names) == ["a.jpg", "a.webp.jpg", "b.jpeg", "c.JPG", "d.jpg", "e.png"]
    assert np.abs(pixels(placed.folder / "a.webp.jpg") - pixels(folder / "a.jpg")).mean() < 2
    with Image.open(placed.folder / "e.png") as image:
        assert image.mode == "RGBA"


def test_a_new_suffix_takes_no_name_that_is_there(folder: Path, tmp_path: Path) -> None:
    with Image.open(folder / "a.jpg") as image:
        for turn, name in enumerate(("a.webp", "e.webp", "e.jpg/f.jpg", "a.webp.jpg")):
            (folder / name).parent.mkdir(exist_ok=True)
            image.rotate(turn + 1).save(folder / name)
    placed = capture.upright(capture.find(folder).photos, tmp_path / "out")
    new = {photo.name: name for name, photo in placed.names.items() if photo.name != name}
    assert new == {"a.webp": "a.webp-2.jpg", "e.webp": "e.webp.jpg"}
    assert all((placed.folder / name).is_file() for name in placed.names)


def test_photos_in_subfolders_are_seen_before_poses_are_asked_for(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "rig").mkdir()
    folder.rename(tmp_path / "rig" / "left")
    assert capture.has_photos(tmp_path / "rig")
    with pytest.raises(NerfkitError, match="photos without camera poses; run `nerfkit poses"):
        read_scene(tmp_path / "rig")
    assert not capture.has_photos(tmp_path / "none")
    assert not capture.has_photos(Path(__file__))


def test_photos_of_other_size_or_zoom_get_another_camera(folder: Path) -> None:
    with Image.open(folder / "a.jpg") as image:
        image.resize((320, 240)).save(folder / "small.jpg", exif=image.getexif())
        exif = image.getexif()
        exif.get_ifd(34665)[37386] = 50.0
        image.save(folder / "zoomed.jpg", exif=exif)
    groups = [[photo.name for photo in group] for group in capture.camera_groups(capture.find(folder).photos)]
    assert groups == [["a.jpg", "b.jpeg", "c.JPG", "d.jpg"], ["small.jpg"], ["zoomed.jpg"]]


def test_photos_of_unknown_cameras_share_one_within_their_folder(folder: Path) -> None:
    for number, name in enumerate(("left/a.jpg", "left/b.jpg", "right/a.jpg")):
        (folder / name).parent.mkdir(exist_ok=True)
        with Image.open(folder / "a.jpg") as image:
            image.rotate(number).save(folder / name)
    groups = [[photo.name for photo in group] for group in capture.camera_groups(capture.find(folder).photos)]
    assert groups == [["a.jpg", "b.jpeg", "c.JPG", "d.jpg"], ["left/a.jpg", "left/b.jpg"], ["right/a.jpg"]]


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match=re.escape(f"{tmp_path}/none: no such folder; check the path of the photos")):
        capture.find(tmp_path / "none")


def test_a_video_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "walk.MOV").write_bytes(b"\0")
    with pytest.raises(NerfkitError, match=r"is a file, not a folder of photos; give the video itself: .*walk.MOV"):
        capture.find(tmp_path / "walk.MOV")


def test_a_folder_without_photos_says_what_it_looked_for(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(NerfkitError, match=r"no photos in it \(looked for \.jpg .* \.avif\); give the folder"):
        capture.find(tmp_path)
    (tmp_path / "IMG_1.DNG").write_bytes(b"\0")
    with pytest.raises(NerfkitError, match="raw photos are not supported: export them as JPEG or TIFF"):
        capture.find(tmp_path)
    (tmp_path / "walk.mp4").write_bytes(b"\0")
    with pytest.raises(NerfkitError, match=r"give the video itself: .*walk\.mp4"):
        capture.find(tmp_path)


def test_one_photo_two_photos_and_only_broken_ones(folder: Path) -> None:
    for name in ("c.JPG", "d.jpg"):
        (folder / name).unlink()
    with pytest.raises(NerfkitError, match="only 2 photos; poses need at least 3 photos that overlap"):
        capture.find(folder)
    (folder / "b.jpeg").write_bytes(b"")
    with pytest.raises(NerfkitError, match="only one photo of 2 readable; poses need at least 3"):
        capture.find(folder)
    (folder / "b.jpeg").unlink()
    with pytest.raises(NerfkitError, match="only one photo; poses need at least 3"):
        capture.find(folder)
    (folder / "a.jpg").write_bytes(b"")
    with pytest.raises(NerfkitError, match="no readable photo; poses need at least 3"):
        capture.find(folder)
