"""A folder with several videos, and with photos beside them."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from corpus import good
from films import encode, glide, remux, texture

from nerfkit import poses
from nerfkit.capture import photos, video
from nerfkit.capture.photos import Photos
from nerfkit.cli.train import posed, same_frames
from nerfkit.errors import NerfkitError
from nerfkit.poses import source

PLACES = [9.0 * step for step in range(40)]


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("films")
    return tuple(encode(folder / f"{seed}.mp4", glide(texture(seed), PLACES)) for seed in (1, 2))  # type: ignore[return-value]


def taken(given: Path, out: Path, frames: int | None = 8) -> tuple[Photos, set[str]]:
    """What is photographed, and the stages that were heard of."""
    stages: set[str] = set()
    out.mkdir(exist_ok=True)
    options = poses.PoseOptions(frames=frames)
    found = source.photos_of(given, out, options, lambda *_: None, lambda stage, *_: stages.add(stage))
    return found, stages


def test_frames_of_all_videos_are_photos(two: tuple[Path, Path], tmp_path: Path) -> None:
    given, out = tmp_path / "given", tmp_path / "out"
    (given / "day 2").mkdir(parents=True)
    shutil.copy(two[0], given / "walk.mp4")
    shutil.copy(two[1], given / "day 2" / "walk.mp4")
    found, stages = taken(given, out)
    names = [photo.name for photo in found.photos]
    assert "frames" in stages and found.ordered and names == sorted(names)
    assert {name.rpartition("/")[0] for name in names} == {"walk.mp4", "day 2/walk.mp4"}
    assert 12 <= len(names) <= 18
    assert all(photo.path == out / "photos" / photo.name and photo.path.is_file() for photo in found.photos)
    assert len(photos.camera_groups(found.photos)) == 2  # they may be of two cameras
    assert "frames" not in taken(given, out)[1]
    assert "frames" in taken(given, out, 6)[1]
    (given / "day 2" / "walk.mp4").unlink()
    found, stages = taken(given, out, 6)
    assert "frames" not in stages
    assert {path.name for path in (out / "photos").iterdir()} == {"walk.mp4"}
    assert {photo.name.rpartition("/")[0] for photo in found.photos} == {"walk.mp4"}


def test_photos_beside_videos_are_brought_together(two: tuple[Path, Path], tmp_path: Path) -> None:
    given, out = tmp_path / "given", tmp_path / "out"
    good(given, "IMG_1.jpg", 1)
    good(given, "sub/IMG_2.jpg", 2)
    shutil.copy(two[0], given / "walk.mp4")
    shutil.copy(two[1], given / "IMG_1.mp4")  # a live photo: its video shows what the photo does, only worse
    found, _ = taken(given, out)
    stills = [photo.name for photo in found.photos if not photo.name.startswith("walk.mp4/")]
    assert stills == ["IMG_1.jpg", "sub/IMG_2.jpg"] and len(found.photos) > 8 and not found.ordered
    upright = photos.upright(found.photos, out / "photos")
    assert upright.folder == out / "photos"
    assert sorted(upright.names) == [photo.name for photo in found.photos]
    assert all((out / "photos" / name).is_file() for name in upright.names)
    assert (out / "photos" / "IMG_1.jpg").read_bytes() == (given / "IMG_1.jpg").read_bytes()


def test_videos_that_are_no_good_are_left_out(
    two: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    shutil.copy(two[0], given / "walk.mp4")
    (given / "empty.mov").write_bytes(b"")
    (given / "text.mp4").write_text("no video")
    still = texture(3)[:, :320]
    encode(given / "still.mp4", [still] * 20)
    found, _ = taken(given, out)
    assert {photo.name.rpartition("/")[0] for photo in found.photos} == {"walk.mp4"}
    assert found.unreadable == ["empty.mov", "still.mp4", "text.mp4"]
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert sum(words.startswith("left out: ") for words in warned) == 3
    (given / "walk.mp4").unlink()
    with pytest.raises(NerfkitError, match="only 0 readable photos and frames of videos"):
        taken(given, tmp_path / "other")


def test_a_full_disk_is_no_fault_of_a_video(
    two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise NerfkitError("frames: no space left to write it")

    shutil.copy(two[0], tmp_path / "walk.mp4")
    monkeypatch.setattr(video, "_write", full)
    with pytest.raises(NerfkitError, match="no space left"):
        taken(tmp_path, tmp_path / "out")
    with pytest.raises(NerfkitError, match="--frames 2: poses need at least 3 frames"):
        taken(tmp_path, tmp_path / "out", 2)


def test_several_videos_give_together_as_many_frames_as_one(two: tuple[Path, Path], tmp_path: Path) -> None:
    given = tmp_path / "given"
    given.mkdir()
    for number in range(5):
        shutil.copy(two[0], given / f"{number}.mp4")
    assert source._most_of_each(photos.films(given)) == video.MOST // 5
    shutil.copy(two[0], given / ".hidden.mp4")
    assert len(photos.films(given)) == 5


def test_panoramas_go_alone(two: tuple[Path, Path], tmp_path: Path) -> None:
    shutil.copy(two[0], tmp_path / "walk.mp4")
    with pytest.raises(NerfkitError, match="holds videos, and 360-degree panoramas go alone"):
        source.photos_of(
            tmp_path, tmp_path / "out", poses.PoseOptions(camera_model="EQUIRECTANGULAR"), lambda *_: None,
            lambda *_: None,
        )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_verbs_take_such_folders(two: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from nerfkit.cli import poses as verb

    given, run = tmp_path / "given", tmp_path / "run"
    given.mkdir()
    remux(two[0], given / "walk.mov", [])
    asked: list[tuple[Path, int | None]] = []
    monkeypatch.setattr(verb, "find", lambda photos, out, options, console: asked.append((photos, options.frames)))
    console = SimpleNamespace(say=lambda *_: None)
    assert posed(given, None, run, console, 8) == run / "poses"  # type: ignore[arg-type]
    assert asked == [(given, 8)]
    (run / "poses").mkdir(parents=True)
    taken(given, run / "poses", 8)
    known = SimpleNamespace(path=run)
    same_frames(given, 8, known)  # type: ignore[arg-type]
    (given / "text.mp4").write_text("no video")  # which was left out, or is new and will be
    same_frames(given, 8, known)  # type: ignore[arg-type]
    with pytest.raises(NerfkitError, match="was begun with other frames than --frames 9 takes"):
        same_frames(given, 9, known)  # type: ignore[arg-type]
