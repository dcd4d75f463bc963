"""Videos that play everywhere, written frame by frame, and stills."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError
from nerfkit.files import atomic

Image = NDArray[np.uint8]  # [H, W, 3] sRGB

# yuv420p and an index at the file's front play in every browser and phone. Players take untagged video for BT.709
# or BT.601 by its size, so the matrix is chosen and tagged.
_H264 = [
    "-vf",
    "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p,setparams=color_primaries=bt709:color_trc=bt709",
    "-c:v", "libx264", "-crf", "18",
    "-colorspace", "bt709", "-movflags", "+faststart",
]  # fmt: skip
# A palette for each frame: one for all would need every frame in memory.
_GIF = ["-filter_complex", "[0:v]split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1", "-loop", "0"]
FORMATS: Mapping[str, Sequence[str]] = {".mp4": _H264, ".gif": _GIF}


class Sink(Protocol):
    """Takes the frames of one output, in order."""

    def __call__(self, frame: Image) -> None: ...


def check(path: Path) -> None:
    """Raises NerfkitError: no format that is written here, or a folder in the way."""
    if path.suffix.lower() not in FORMATS:
        known = " or ".join(FORMATS)
        raise NerfkitError(f"{path}: unknown kind of video {path.suffix or '(no suffix)'!r}; use {known}")
    if path.is_dir():
        raise NerfkitError(f"{path}: is a folder; choose another output file")


def write(path: Path, frames: Iterable[Image], fps: float = 30) -> Path:
    """Writes frames [H, W, 3] uint8 sRGB of one size as a video (.mp4: H.264 yuv420p; .gif) and returns its path.

    Sizes are made even by repeating the last row or column. The file appears whole or not at all, and frames are
    not kept.

    Raises:
        NerfkitError: unknown suffix, no frames, no space left, or whatever the encoder says.
    """
    with open_video(path, fps) as add:
        for frame in frames:
            add(frame)
    return path


def write_channels(paths: Mapping[Any, Path], frames: Iterable[Mapping[Any, Image]], fps: float = 30) -> list[Path]:
    """Writes a video for each channel, side by side from one stream of frames, which may fail and leave none."""
    with ExitStack() as stack:
        sinks = {channel: stack.enter_context(open_video(path, fps)) for channel, path in paths.items()}
        for frame in frames:
            for channel, add in sinks.items():
                add(frame[channel])
    return list(paths.values())


def write_stills(folder: Path, names: Iterable[str], frames: Iterable[Mapping[Any, Image]]) -> list[Path]:
    """Writes ``<name>.png``, and ``<name>.<channel>.png`` for channels other than rgb. Other files stay."""
    import imageio.v3 as iio

    written = []
    for frame, name in zip(frames, names):
        for channel, image in frame.items():
            path = folder / (f"{name}.png" if channel == "rgb" else f"{name}.{channel}.png")
            with atomic(path) as partial:
                iio.imwrite(partial, image)
            written.append(path)
    return written


@contextmanager
def open_video(path: Path, fps: float) -> Iterator[Sink]:
    """Gives a function that takes the frames of ``path``; see :func:`write`."""
    check(path)
    with atomic(path) as partial:
        encoder = _Encoder(path, partial, fps)
        try:
            yield encoder.add
            encoder.finish()
        finally:
            encoder.stop()


class _Encoder:
    """An ffmpeg process that starts with the first frame, whose size it needs."""

    def __init__(self, path: Path, partial: Path, fps: float):
        self.path, self.partial, self.fps = path, partial, fps
        self.shape: tuple[int, ...] = ()
        self.process: subprocess.Popen[bytes] | None = None
        self.words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop())

    def add(self, frame: Image) -> None:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
            raise ValueError(f"a frame is [H, W, 3] uint8, not {list(frame.shape)} {frame.dtype}")
        if self.process is None:
            self.shape, self.process = frame.shape, self.start(even(frame))
        if frame.shape != self.shape:
            raise ValueError(f"a frame of {list(frame.shape)} in a video of {list(self.shape)}")
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(np.ascontiguousarray(even(frame)).data)
        except OSError:  # the encoder is gone, and has said why
            self.process.wait()
            self.fail()

    def start(self, frame: Image) -> subprocess.Popen[bytes]:
        import imageio_ffmpeg

        height, width = frame.shape[:2]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"]
        command += ["-s", f"{width}x{height}", "-r", f"{self.fps:g}", "-i", "-", *FORMATS[self.path.suffix.lower()]]
        target = self.partial.resolve()  # absolute: a name can't be taken for an option
        # In a session of its own Ctrl-C reaches us alone, and stop() ends the encoder.
        return subprocess.Popen(
            [*command, str(target)], stdin=subprocess.PIPE, stderr=self.words, start_new_session=True
        )

    def finish(self) -> None:
        if self.process is None:
            raise NerfkitError(f"{self.path}: a video needs at least one frame")
        self.process.communicate()
        if self.process.returncode:
            self.fail()

    def fail(self) -> None:
        self.words.seek(0)
        words = self.words.read().decode(errors="replace")
        if os.strerror(errno.ENOSPC) in words:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))  # atomic() puts it in words
        last = (words.strip().splitlines() or ["no reason given"])[-1]
        raise NerfkitError(f"{self.path}: the video encoder failed ({last}); try another --size or output path")

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process is not None and self.process.stdin is not None and not self.process.stdin.closed:
            with suppress(OSError):
                self.process.stdin.close()
        self.words.close()


def even(frame: Image) -> Image:
    """The frame with an even height and width: its last row or column twice where it had not."""
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return frame
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
