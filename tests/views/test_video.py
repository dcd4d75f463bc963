"""Videos as ffprobe and a decoder find them; and what is left when something goes wrong: nothing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest

from nerfkit.errors import NerfkitError
from nerfkit.views import video


def frames(count: int, height: int = 48, width: int = 64) -> Iterator[np.ndarray]:
    """A red field whose left part turns blue, column by column."""
    for index in range(count):
        image = np.zeros((height, width, 3), np.uint8)
        image[:] = (200, 30, 40)
        image[:, : (index + 1) * width // (count + 1)] = (20, 60, 220)
        yield image


def probe(path: Path) -> dict[str, object]:
    """Codec, pixel format, size, frames per second and duration, from ffprobe or else ffmpeg's own words."""
    if shutil.which("ffprobe"):
        command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(path)]
        (stream,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
        top, bottom = stream["avg_frame_rate"].split("/")
        found = {key: stream[key] for key in ("codec_name", "pix_fmt", "width", "height")}
        return found | {"fps": int(top) / int(bottom), "duration": float(stream["duration"])}
    words = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path)], capture_output=True, text=True, check=False
    ).stderr
    stream = re.search(r"Video: (\w+).*?, (\w+)\(.*?, (\d+)x(\d+).*?, ([\d.]+) fps", words)
    length = re.search(r"Duration: (\d+):(\d+):([\d.]+)", words)
    assert stream and length, words
    hours, minutes, seconds = (float(part) for part in length.groups())
    return {
        "codec_name": stream[1], "pix_fmt": stream[2], "width": int(stream[3]), "height": int(stream[4]),
        "fps": float(stream[5]), "duration": 3600 * hours + 60 * minutes + seconds,
    }  # fmt: skip


def test_a_video_that_plays_everywhere(tmp_path: Path) -> None:
    path = video.write(tmp_path / "new folder" / "ö <out>.mp4", frames(45), 30)
    found = probe(path)
    assert found["duration"] == pytest.approx(1.5, abs=0.02)
    assert (found["codec_name"], found["pix_fmt"], found["fps"]) == ("h264", "yuv420p", 30)
    assert (found["width"], found["height"]) == (64, 48)
    data = path.read_bytes()
    assert 0 < data.find(b"moov") < data.find(b"mdat")  # it plays before it is loaded
    assert [entry.name for entry in path.parent.iterdir()] == ["ö <out>.mp4"]


def test_colors_and_order_survive(tmp_path: Path) -> None:
    path = video.write(tmp_path / "out.mp4", frames(20, 96, 128))
    decoded = iio.imread(path)
    assert len(decoded) == 20
    for shown, given in zip(decoded, frames(20, 96, 128)):
        assert np.abs(shown.astype(int) - given).mean() < 6
    assert np.abs(decoded[0][40:60, 60:].astype(int) - (200, 30, 40)).max() < 12


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 0, 0), (255, 255, 255)])
def test_colors_are_those_of_the_tags(tmp_path: Path, color: tuple[int, int, int]) -> None:
    path = video.write(tmp_path / "out.mp4", [np.full((48, 64, 3), color, np.uint8)] * 3)
    as_tagged = "scale=in_color_matrix=bt709:in_range=tv,format=rgb24"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-vf", as_tagged, "-f", "rawvideo", "-"]
    shown = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8).reshape(-1, 3)
    assert np.abs(shown.astype(int) - color).max() <= 8


@pytest.mark.parametrize(("height", "width"), [(49, 65), (1, 1), (2, 7)])
def test_odd_sizes_become_even(tmp_path: Path, height: int, width: int) -> None:
    found = probe(video.write(tmp_path / "out.mp4", frames(3, height, width)))
    assert (found["height"], found["width"]) == (height + height % 2, width + width % 2)


@pytest.mark.parametrize("fps", [24, 29.97, 60])
def test_frames_per_second(tmp_path: Path, fps: float) -> None:
    found = probe(video.write(tmp_path / "out.mp4", frames(12), fps))
    assert found["fps"] == pytest.approx(fps, rel=1e-3)
    assert found["duration"] == pytest.approx(12 / fps, abs=0.02)


def test_gif(tmp_path: Path) -> None:
    decoded = iio.imread(video.write(tmp_path / "out.gif", frames(6), 10))
    assert decoded.shape[:3] == (6, 48, 64)
    assert np.abs(decoded[5].astype(int)[..., :3] - list(frames(6))[5]).mean() < 6


def test_frames_are_not_kept(tmp_path: Path) -> None:
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def watched() -> Iterator[np.ndarray]:
        nonlocal most
        for frame in frames(60):
            alive.append(weakref.ref(frame))
            most = max(most, sum(ref() is not None for ref in alive))
            yield frame

    video.write(tmp_path / "out.mp4", watched())
    assert most <= 2


def test_a_failure_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"before")

    def broken() -> Iterator[np.ndarray]:
        yield from frames(5)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        video.write(path, broken())
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_finished_video_replaces_the_old_one(tmp_path: Path) -> None:
    video.write(tmp_path / "out.mp4", frames(4))
    assert probe(video.write(tmp_path / "out.mp4", frames(30)))["duration"] == pytest.approx(1, abs=0.02)


def test_an_encoder_that_fails_says_why(tmp_path: Path) -> None:
    huge = np.zeros((2, 20000, 3), np.uint8)  # x264 takes up to 16384
    with pytest.raises(NerfkitError, match=r"out.mp4: the video encoder failed \(.+\); try another"):
        video.write(tmp_path / "out.mp4", [huge] * 200)
    assert not list(tmp_path.iterdir())


def test_no_frames_and_unknown_kinds(tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match="at least one frame"):
        video.write(tmp_path / "out.mp4", [])
    with pytest.raises(NerfkitError, match=r"out.avi: unknown kind of video '.avi'; use .mp4, .webm or .gif"):
        video.write(tmp_path / "out.avi", frames(1))
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(NerfkitError, match="is a folder"):
        video.write(tmp_path / "folder.mp4", frames(1))
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.mp4"]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("/nowhere/ffmpeg", r"ffmpeg, .*does not start \(No such file"),
        ("/bin/false", "exit status 1"),
    ],
)
def test_no_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", program)
    with pytest.raises(NerfkitError, match=rf"out\.mp4: .*{reason}"):
        video.write(tmp_path / "out.mp4", [np.zeros((16, 16, 3), np.uint8)] * 3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["out.mp4", "out_%d.png"])
def test_a_limit_of_sizes(tmp_path: Path, name: str) -> None:
    """What is too large for it is told in a line, and nothing half-written stays."""
    script = f"""
import numpy as np
from pathlib import Path
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.views import sequence, video
noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
try:
    if {name!r}.endswith("mp4"):
        video.write(Path({name!r}), [noise] * 9)
    else:
        with atomic(Path({name!r})) as partial:
            sequence.write_png(partial, noise)
except NerfkitError as error:
    print(error)
"""
    limited = ["bash", "-c", 'ulimit -f 20 && exec "$0" -c "$1"', sys.executable, script]
    done = subprocess.run(limited, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}: no space left") and done.stdout.count("\n") == 1
    assert not list(tmp_path.iterdir())
