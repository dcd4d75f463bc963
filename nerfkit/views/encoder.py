"""An ffmpeg process that turns frames into a file."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError

Image = NDArray[np.uint8]  # [H, W, 3], or [H, W, 4] with alpha; sRGB

ALPHA_OR_NOT = "{yuv420p}"  # stands, in options, for the pixel format with or without alpha, as the frames are


class Encoder:
    """Starts ffmpeg with the first frame, whose size and number of channels it needs."""

    def __init__(self, path: Path, partial: Path, fps: float, options: Sequence[str]):
        """Args: path: what errors name. partial: what is written. options: of ffmpeg, between its input and output."""
        self.path, self.partial, self.fps, self.options = path, partial, fps, options
        self.shape: tuple[int, ...] = ()
        self.process: subprocess.Popen[bytes] | None = None
        self.words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop())

    def add(self, frame: Image) -> None:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (3, 4):
            raise ValueError(f"a frame is [H, W, 3] or [H, W, 4] uint8, not {list(frame.shape)} {frame.dtype}")
        if self.process is None:
            self.shape, self.process = frame.shape, self._start(even(frame))
        if frame.shape != self.shape:
            raise ValueError(f"a frame of {list(frame.shape)} in a video of {list(self.shape)}")
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(np.ascontiguousarray(even(frame)).data)
        except OSError:  # the encoder is gone, and has said why
            fail(self.path, self.words, self.process.wait())

    def _start(self, frame: Image) -> subprocess.Popen[bytes]:
        height, width, channels = frame.shape
        layout = "rgba" if channels == 4 else "rgb24"
        source = ["-f", "rawvideo", "-pix_fmt", layout, "-s", f"{width}x{height}", "-r", f"{self.fps:g}", "-i", "-"]
        pixels = "yuva420p" if channels == 4 else "yuv420p"
        options = [option.replace(ALPHA_OR_NOT, pixels) for option in self.options]
        return start(self.path, [*source, *options], self.partial, self.words, stdin=subprocess.PIPE)

    def close(self) -> None:
        """No more frames; the encoder may go on for a while."""
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()

    @property
    def ended(self) -> bool:
        """Whether there is nothing to wait for."""
        return self.process is not None and self.process.poll() is not None

    def finish(self) -> None:
        """Waits for the whole file. Raises NerfkitError: no frames, or whatever the encoder says."""
        if self.process is None:
            raise NerfkitError(f"{self.path}: a video needs at least one frame")
        self.close()
        if status := self.process.wait():
            fail(self.path, self.words, status)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.close()
        self.words.close()


def start(
    path: Path, arguments: Sequence[str], target: Path, words: IO[bytes], **pipes: Any
) -> subprocess.Popen[bytes]:  # fmt: skip
    """ffmpeg with ``arguments``, writing to ``target`` and its complaints to ``words``.

    Raises NerfkitError: there is none that starts; about ``path``.
    """
    import imageio_ffmpeg

    absolute = str(target.resolve())  # a name can't be taken for an option
    try:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-v", "error", *arguments, absolute]
        # In a session of its own Ctrl-C reaches us alone, and who started the encoder ends it.
        return subprocess.Popen(command, stderr=words, start_new_session=True, **pipes)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "none is installed"
        raise NerfkitError(
            f"{path}: ffmpeg, which writes videos, does not start ({reason}); install it, let IMAGEIO_FFMPEG_EXE name "
            "it, or choose a folder for PNG frames"
        ) from None


def convert(path: Path, arguments: Sequence[str], partial: Path) -> None:
    """Runs ffmpeg on files. Raises NerfkitError: whatever it says, about ``path``."""
    with tempfile.TemporaryFile() as words:
        process = start(path, arguments, partial, words, stdin=subprocess.DEVNULL)
        try:
            if status := process.wait():
                fail(path, words, status)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def fail(path: Path, words: IO[bytes], status: int) -> NoReturn:
    """Raises what ffmpeg's complaints and its exit status (negative: a signal's number) come to."""
    words.seek(0)
    said = words.read().decode(errors="replace")
    if status == -signal.SIGXFSZ or any(os.strerror(number) in said for number in (errno.ENOSPC, errno.EFBIG)):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))  # atomic() puts it in words
    unsaid = f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
    last = (said.strip().splitlines() or [unsaid])[-1]
    raise NerfkitError(f"{path}: the video encoder failed ({last}); try another --size or output path")


def even(frame: Image) -> Image:
    """The frame with an even height and width: its last row or column twice where it had not."""
    height, width = frame.shape[:2]
    if height % 2 == 0 and width % 2 == 0:
        return frame
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
