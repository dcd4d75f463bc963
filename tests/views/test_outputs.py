"""Files that come from drawings, looked at with ffprobe, ffmpeg and OpenCV; and work that goes on after an end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import probe
import pytest
import torch
from PIL import Image

from nerfkit.contracts import Cameras, Channel, Rendering
from nerfkit.errors import NerfkitError
from nerfkit.views import draw, outputs, writing
from nerfkit.views.outputs import Look
from nerfkit.views.request import Request

WIDTH, HEIGHT = 64, 48


def cameras_of(count: int) -> Cameras:
    return Cameras(torch.eye(4).repeat(count, 1, 1), torch.tensor([[60.0, 60, 32, 24]] * count), WIDTH, HEIGHT)


def ramp(camera: Cameras, channels: draw.Channels, moment: float = 0.0) -> Rendering:
    """Red grows with time, green to the right; the left half is half transparent over nothing."""
    x = torch.arange(WIDTH).expand(HEIGHT, WIDTH) / WIDTH
    alpha = torch.where(x < 0.5, 0.5, 1.0)
    rgb = torch.stack([torch.full_like(x, moment), x, torch.full_like(x, 0.2)], -1) * alpha[..., None]
    normal = torch.tensor([0.0, 0.6, -0.8]).expand(HEIGHT, WIDTH, 3)
    return Rendering(rgb, alpha, 1 + 4 * x, normal, torch.zeros(3))


def write(path: Path, frames: int, look: Look, fps: float = 30, facts: str = "") -> tuple[list[Path], int]:
    cameras = cameras_of(frames)
    made = outputs.of_path(path, look, Request.of(cameras, {"facts": facts}), fps)
    drawn = writing.write(ramp, cameras, made)
    return [file for output in made for file in output.files], drawn


@pytest.mark.parametrize(
    ("name", "fps", "expected"),
    [
        ("out.mp4", 30, ("h264", "yuv420p", "bt709", "tv")),
        ("out.mp4", 29.97, ("h264", "yuv420p", "bt709", "tv")),
        ("out.webm", 25, ("vp9", "yuv420p", "bt709", "tv")),
        ("50%off.mp4", 30, ("h264", "yuv420p", "bt709", "tv")),
        ("out.gif", 10, ("gif", "bgra", None, None)),
    ],
)
def test_videos_of_several_segments(tmp_path: Path, name: str, fps: float, expected: Sequence[str | None]) -> None:
    write(tmp_path / name, 130, Look(["rgb"]), fps)
    found = probe.stream(tmp_path / name)
    tags = tuple(found.get(key) for key in ("codec_name", "pix_fmt", "color_space", "color_range"))
    assert tags == expected
    assert (found["width"], found["height"], found["frames"]) == (WIDTH, HEIGHT, 130)
    assert found["fps"] == pytest.approx(fps, rel=2e-3)
    assert found["seconds"] == pytest.approx(130 / fps, rel=2e-3)
    assert np.allclose(np.diff(probe.times(tmp_path / name)), 1 / fps, atol=1.1e-3)  # evenly, over the joints too
    shown = probe.decoded(tmp_path / name)[:, 24, 48].astype(float)
    assert np.abs(shown[:, 0] - np.arange(130) / 130 * 255).mean() < 6 and np.abs(shown[:, 1] - 0.75 * 255).max() < 12
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_transparent_video(tmp_path: Path) -> None:
    write(tmp_path / "out.webm", 10, Look(["rgb"], transparent=True))
    shown = probe.decoded(tmp_path / "out.webm", "rgba", "-c:v", "libvpx-vp9")[5].astype(float)
    assert np.abs(shown[:, :28, 3] - 127.5).max() < 6 and np.abs(shown[:, 36:, 3] - 255).max() < 6
    assert np.abs(shown[:, 8, 0] - 127).max() < 12  # colours aren't weighted with alpha
    write(tmp_path / "out.gif", 3, Look(["rgb"], transparent=True), 10)
    assert probe.stream(tmp_path / "out.gif")["pix_fmt"] == "bgra"


@pytest.mark.parametrize(("bits", "kind"), [(8, np.uint8), (16, np.uint16)])
def test_png_frames(tmp_path: Path, bits: int, kind: type) -> None:
    files, drawn = write(tmp_path / "f_%03d.png", 2, Look(["rgb", "depth"], True, (1, 5), bits))
    assert drawn == 2 and len(files) == 4
    assert sorted(path.name for path in tmp_path.glob("*.png")) == sorted(
        ["f_000.png", "f_001.png", "f_000.depth.png", "f_001.depth.png"]
    )
    image = cv2.imread(str(tmp_path / "f_001.png"), cv2.IMREAD_UNCHANGED)
    assert image.dtype == kind and image.shape == (HEIGHT, WIDTH, 4)
    most = 2**bits - 1
    assert np.allclose(image[10, 8] / most, [0.2, 8 / 64, 0.5, 0.5], atol=0.6 / most)  # blue first
    assert cv2.imread(str(tmp_path / "f_001.depth.png"), cv2.IMREAD_UNCHANGED).shape == (HEIGHT, WIDTH, 3)
    found = probe.stream(tmp_path / "f_001.png")
    assert found["pix_fmt"] == ("rgba" if bits == 8 else "rgba64be")
    assert Image.open(tmp_path / "f_001.png").info["srgb"] == 0  # perceptual


@pytest.mark.parametrize("bits", [None, 16])
def test_exr_frames(tmp_path: Path, bits: int | None) -> None:
    pytest.importorskip("OpenEXR", reason="OpenEXR is missing: pip install 'nerfkit[exr]'")
    look = Look(outputs.EXR_CHANNELS, True, None, bits)
    write(tmp_path / "f_%d.exr", 2, look)
    path = tmp_path / "f_1.exr"
    green, blue, red, alpha = probe.floats(path, 4)
    light = ((0.5 + 0.055) / 1.055) ** 2.4
    accuracy = 1e-6 if bits is None else 1e-3
    assert alpha.shape == (HEIGHT, WIDTH)
    assert np.allclose([red[10, 8], alpha[10, 8]], [light * 0.5, 0.5], atol=accuracy)  # weighted with alpha
    assert np.allclose([red[10, 40], alpha[10, 40]], [light, 1], atol=accuracy)
    assert green[10, 8] < green[10, 40] and np.allclose(blue[0], blue[1])
    import OpenEXR

    planes = OpenEXR.File(str(path)).channels()
    assert planes["Z"].pixels.dtype == np.float32 and np.allclose(planes["Z"].pixels[0], 1 + np.arange(64) / 16)
    assert np.allclose([planes[f"N.{axis}"].pixels[3, 3] for axis in "XYZ"], [0, 0.6, -0.8], atol=accuracy)
    assert probe.stream(path)["pix_fmt"] in ("gbrapf32le", "gbrapf16le")


def test_an_opaque_exr_is_the_whole_picture(tmp_path: Path) -> None:
    exr = pytest.importorskip("OpenEXR", reason="OpenEXR is missing: pip install 'nerfkit[exr]'")
    write(tmp_path / "f_%d.exr", 1, Look(["rgb"]))
    planes = exr.File(str(tmp_path / "f_0.exr")).channels()
    assert list(planes) == ["RGB"]
    assert planes["RGB"].pixels[0, 48, 1] == pytest.approx(((0.75 + 0.055) / 1.055) ** 2.4, abs=1e-6)


def test_frames_that_are_there_are_not_drawn_again(tmp_path: Path) -> None:
    pattern, look = tmp_path / "f_%02d.png", Look(["rgb"])
    assert write(pattern, 6, look)[1] == 6
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    (tmp_path / "f_03.png").unlink()
    assert write(pattern, 6, look)[1] == 1
    after = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.png")}
    assert {path.name for path in after if after[path] != before[path]} == {"f_03.png"}
    assert write(pattern, 4, look, facts="another background")[1] == 4
    assert len(list(tmp_path.glob("*.png"))) == 4  # none is left of what was asked for before
    (tmp_path / ".f_02d.png.json").unlink()
    with pytest.raises(NerfkitError, match=r"f_00\.png: exists, and is none of nerfkit's; move it away"):
        write(pattern, 4, look)
    assert len(list(tmp_path.glob("*.png"))) == 4


@pytest.mark.parametrize("name", ["out.mp4", "f_%02d.png"])
def test_what_cannot_be_written_is_called_as_the_user_calls_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "in the way").write_text("a file")
    out = tmp_path / "in the way" / name
    with pytest.raises(NerfkitError) as caught:
        write(out, 3, Look(["rgb"]))
    assert str(caught.value).startswith(f"{out}: cannot be written (")
    assert [path.name for path in tmp_path.iterdir()] == ["in the way"]


def test_frames_of_others_behind_our_own_are_left_alone(tmp_path: Path) -> None:
    pattern, look = tmp_path / "f_%02d.png", Look(["rgb"])
    write(pattern, 3, look)
    (tmp_path / "f_04.png").write_bytes(b"another's")
    with pytest.raises(NerfkitError, match=r"f_04\.png: exists, and is none of nerfkit's"):
        write(pattern, 6, look)
    assert len(list(tmp_path.glob("*.png"))) == 4 and (tmp_path / "f_04.png").read_bytes() == b"another's"


KILLED = """
    import sys, time
    sys.path.insert(0, sys.argv[1])
    import test_outputs as this
    from pathlib import Path
    plain = this.ramp
    def slow(camera, channels, moment=0.0):
        time.sleep(0.002 if moment < 0.8 else 0.5)
        return plain(camera, channels, moment)
    this.ramp = slow
    this.write(Path(sys.argv[2]), 200, this.Look(["rgb", "alpha"]))
"""


WITHIN_A_FRAME = """
import os, signal, sys
from pathlib import Path
from nerfkit.views import outputs, sequence
def killed(path, *_):
    path.write_bytes(b"half a picture")
    os.kill(os.getpid(), signal.SIGKILL)
sequence.write_png = outputs.write_png = killed
sys.path.insert(0, sys.argv[1])
from test_outputs import Look, write
write(Path("frames/a_%d.png"), 3, Look(["rgb"]), facts=sys.argv[2])
"""


@pytest.mark.parametrize("facts", ["", "another request"])
def test_a_killed_sequence_leaves_nothing_half_written(tmp_path: Path, facts: str) -> None:
    """The next attempt removes what was begun of its frames, and nothing else."""
    script = [sys.executable, "-c", WITHIN_A_FRAME, str(Path(__file__).parent), facts]
    assert subprocess.run(script, cwd=tmp_path).returncode == -signal.SIGKILL
    begun = list((tmp_path / "frames").glob(".a_*.partial.png"))
    assert b"half a picture" in [file.read_bytes() for file in begun]  # another thread's may be empty yet
    hour_ago, fresh = time.time() - 3600, tmp_path / "frames" / ".a_1.0123abcd.partial.png"
    for file in begun:
        os.utime(file, (hour_ago, hour_ago))
    fresh.write_text("another command is at work on it")
    others = [tmp_path / "frames" / name for name in (".b_0.0123abcd.partial.png", ".a_0.0123abcd.partial.exr", "note")]
    for file in others:
        file.write_text("somebody else's")
        os.utime(file, (hour_ago, hour_ago))
    assert write(tmp_path / "frames" / "a_%d.png", 3, Look(["rgb"]))[1] == 3
    assert not any(file.exists() for file in begun) and all(file.exists() for file in others)
    assert sorted(file.name for file in (tmp_path / "frames").glob("*.png")) == [
        fresh.name, ".b_0.0123abcd.partial.png", "a_0.png", "a_1.png", "a_2.png",
    ]  # fmt: skip


def test_a_killed_video_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(Path(__file__).parent), str(out)]
    process = subprocess.Popen(command)
    parts, other = tmp_path / ".out.mp4.parts", tmp_path / ".out.alpha.mp4.parts"
    for _ in range(300):
        if (parts / "000001.mp4").exists() and (other / "000001.mp4").exists():
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not out.exists() and (parts / "000001.mp4").exists()
    files, drawn = write(out, 200, Look(["rgb", "alpha"]))
    assert drawn == 80  # two of four segments were there
    for file in files:
        assert probe.stream(file)["frames"] == 200
    shown = probe.decoded(out)[:, 24, 48, 0].astype(float)
    assert np.abs(shown - np.arange(200) / 200 * 255).mean() < 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.alpha.mp4", "out.mp4"]


def test_a_failure_keeps_whole_segments_and_a_changed_request_drops_them(tmp_path: Path) -> None:
    cameras, look = cameras_of(90), Look(["rgb"])

    def broken(camera: Cameras, channels: draw.Channels, moment: float = 0.0) -> Rendering:
        if moment > 0.9:
            raise ZeroDivisionError
        return ramp(camera, channels, moment)

    made = outputs.of_path(tmp_path / "out.mp4", look, Request.of(cameras, {"facts": ""}), 30)
    with pytest.raises(ZeroDivisionError):
        writing.write(broken, cameras, made)
    assert [path.name for path in tmp_path.iterdir()] == [".out.mp4.parts"]
    names = sorted(path.name for path in (tmp_path / ".out.mp4.parts").iterdir())
    assert names == ["000000.mp4", "request.json"]
    assert write(tmp_path / "out.mp4", 90, look, facts="other")[1] == 90
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_two_commands_do_not_make_the_same_video(tmp_path: Path) -> None:
    """Each would remove the segments that the other has begun."""
    one, other = (
        outputs.of_path(tmp_path / name, Look(["rgb"]), Request.of(cameras_of(90), {"facts": ""}), 30)[0]
        for name in ("out.mp4", "first.mp4")
    )
    one.begin()
    one.add(0, ramp(cameras_of(90)[0], frozenset({"rgb"})))
    end = time.monotonic() + 20
    while len(begun := sorted((tmp_path / ".out.mp4.parts").iterdir())) < 2 and time.monotonic() < end:
        time.sleep(0.01)  # until the encoder has made its file
    assert len(begun) == 2
    again = outputs.of_path(tmp_path / "out.mp4", Look(["rgb"]), Request.of(cameras_of(3), {"facts": "other"}), 30)
    with pytest.raises(NerfkitError, match=r"out\.mp4: another nerfkit is at work there; .* or choose another -o"):
        writing.write(ramp, cameras_of(3), [other, *again])
    assert sorted((tmp_path / ".out.mp4.parts").iterdir()) == begun
    assert [path.name for path in tmp_path.iterdir()] == [".out.mp4.parts"]  # the first output was stopped
    one.stop()
    assert write(tmp_path / "out.mp4", 3, Look(["rgb"]))[1] == 3


def test_errors_of_the_writing_thread_end_the_drawing(tmp_path: Path) -> None:
    class Full:
        needed: draw.Channels = frozenset({"rgb"})
        files: list[Path] = []  # noqa: RUF012
        stopped = False

        def begin(self) -> set[int]:
            return set(range(1000))

        def add(self, index: int, drawn: Rendering) -> None:
            raise NerfkitError("no space left")

        def finish(self) -> None:
            raise AssertionError

        def stop(self) -> None:
            self.stopped = True

    drawn, full = [], Full()

    def counted(camera: Cameras, channels: frozenset[Channel], moment: float = 0.0) -> Rendering:
        drawn.append(moment)
        return ramp(camera, channels, moment)

    with pytest.raises(NerfkitError, match="no space left"):
        writing.write(counted, cameras_of(1000), [full])
    assert full.stopped and len(drawn) < 20


def test_progress_is_of_what_is_left(tmp_path: Path) -> None:
    write(tmp_path / "f_%d.png", 5, Look(["rgb"]))
    (tmp_path / "f_1.png").unlink()
    (tmp_path / "f_4.png").unlink()
    cameras, said = cameras_of(5), []
    made = outputs.of_path(tmp_path / "f_%d.png", Look(["rgb"]), Request.of(cameras, {"facts": ""}), 30)
    writing.write(ramp, cameras, made, lambda stage, done, total: said.append((stage, done, total)))
    assert said == [("frames", 4, 5), ("frames", 5, 5)]
    assert json.loads((tmp_path / ".f_d.png.json").read_text())["frames"] == 5
