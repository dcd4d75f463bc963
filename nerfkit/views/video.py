"""Videos that play everywhere, written frame by frame, and stills."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.views.encoder import ALPHA_OR_NOT, Encoder, Image

# Players take untagged video for BT.709 or BT.601 by its size, so the matrix is chosen and tagged. sRGB pictures are
# tagged with BT.709's transfer, as the web does: browsers show either the same.
_TO_BT709 = "scale=out_color_matrix=bt709:out_range=tv,format={}"
_TAGGED = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
# yuv420p and an index at the file's front play in every browser and phone. Presets by scripts/bench_render.py: at
# the same quality and size veryfast takes a third of the default's time.
_H264 = [
    "-vf", f"{_TO_BT709.format('yuv420p')},{_TAGGED}",
    "-c:v", "libx264", "-preset", "veryfast", "-crf", "17", "-colorspace", "bt709", "-movflags", "+faststart",
]  # fmt: skip
_VP9 = [
    "-vf", f"{_TO_BT709.format(ALPHA_OR_NOT)},{_TAGGED}",
    "-c:v", "libvpx-vp9", "-crf", "22", "-b:v", "0", "-deadline", "realtime", "-cpu-used", "7", "-row-mt", "1",
    "-auto-alt-ref", "0",
]  # fmt: skip
# A palette for each frame: one for all would need every frame in memory.
_GIF = ["-filter_complex", "[0:v]split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1", "-loop", "0"]
_LOSSLESS = ["-c:v", "ffv1", "-g", "1", "-pix_fmt", "bgra"]


@dataclass(frozen=True)
class Format:
    """How ffmpeg is to write a kind of video: at once, or as segments that are joined later."""

    whole: Sequence[str]
    segment: Sequence[str]
    segment_suffix: str
    join: Sequence[str]
    alpha: bool  # whether players show what is transparent


COPY = ["-c", "copy"]
FORMATS: Mapping[str, Format] = {
    ".mp4": Format(_H264, _H264, ".mp4", [*COPY, "-movflags", "+faststart"], False),
    ".webm": Format(_VP9, _VP9, ".webm", COPY, True),
    ".gif": Format(_GIF, _LOSSLESS, ".nut", _GIF, True),
}


class Sink(Protocol):
    """Takes the frames of one output, in order."""

    def __call__(self, frame: Image) -> None: ...


def check(path: Path) -> None:
    """Raises NerfkitError: no format that is written here, or a folder in the way."""
    if path.suffix.lower() not in FORMATS:
        raise NerfkitError(f"{path}: unknown kind of video {path.suffix or '(no suffix)'!r}; use {known_formats()}")
    if path.is_dir():
        raise NerfkitError(f"{path}: is a folder; choose another output file")


def known_formats() -> str:
    *others, last = FORMATS
    return f"{', '.join(others)} or {last}"


def write(path: Path, frames: Iterable[Image], fps: float = 30) -> Path:
    """Writes frames [H, W, 3] uint8 sRGB of one size as a video and returns its path.

    By the suffix: .mp4 (H.264, yuv420p), .webm (VP9) or .gif; the latter two also take [H, W, 4], transparent. Sizes
    are made even by repeating the last row or column. The file appears whole or not at all, and frames are not kept.

    Raises:
        NerfkitError: unknown suffix, no frames, no space left, or whatever the encoder says.
    """
    with open_video(path, fps) as add:
        for frame in frames:
            add(frame)
    return path


@contextmanager
def open_video(path: Path, fps: float) -> Iterator[Sink]:
    """Gives a function that takes the frames of ``path``; see :func:`write`."""
    check(path)
    with atomic(path) as partial:
        encoder = Encoder(path, partial, fps, FORMATS[path.suffix.lower()].whole)
        try:
            yield encoder.add
            encoder.finish()
        finally:
            encoder.stop()
