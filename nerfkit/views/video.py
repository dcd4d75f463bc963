"""Videos and stills on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError
from nerfkit.files import atomic

SUFFIXES = (".mp4",)
_QUALITY = ["-crf", "18", "-preset", "medium", "-movflags", "+faststart"]  # visually lossless; plays while it loads


class FrameSink(Protocol):
    def __call__(self, frame: NDArray[np.uint8]) -> None: ...


def check_suffix(path: Path) -> None:
    """Raises NerfkitError: a file that is no video we write."""
    if path.suffix.lower() not in SUFFIXES:
        raise NerfkitError(f"{path}: cannot write a video of this kind; use the suffix {' or '.join(SUFFIXES)}")


@contextmanager
def writer(path: Path, fps: float) -> Iterator[FrameSink]:
    """An H.264 video (yuv420p, plays everywhere) that takes frames [H, W, 3] uint8 one at a time.

    It appears at ``path`` when all frames are in. An odd last row or column is cut off, since the format has none.

    Raises:
        NerfkitError: another suffix than .mp4; no space left.
    """
    import imageio_ffmpeg

    check_suffix(path)
    with atomic(path) as partial, ExitStack() as stack:
        encoder = None

        def put(frame: NDArray[np.uint8]) -> None:
            nonlocal encoder
            even = np.ascontiguousarray(frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2])
            if encoder is None:
                encoder = imageio_ffmpeg.write_frames(
                    str(partial), (even.shape[1], even.shape[0]), fps=fps, codec="libx264", pix_fmt_out="yuv420p",
                    quality=None, macro_block_size=2, output_params=_QUALITY, ffmpeg_log_level="error",
                )  # fmt: skip
                encoder.send(None)
                stack.callback(encoder.close)
            encoder.send(even)

        yield put
        stack.close()  # the encoder ends before the file is renamed
        if not partial.is_file():
            raise NerfkitError(f"{path}: no video was written; is there space left, and at least one frame?")


def write(path: Path, frames: Iterable[NDArray[np.uint8]], fps: float = 30) -> None:
    """Writes a video; see :func:`writer`."""
    with writer(path, fps) as put:
        for frame in frames:
            put(frame)


def write_still(path: Path, picture: NDArray[np.uint8]) -> None:
    """Writes a PNG [H, W, 3]."""
    import imageio.v3 as iio

    with atomic(path) as partial:
        iio.imwrite(partial, picture)
