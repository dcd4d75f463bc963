"""A file for each frame: PNG or EXR sequences that go on where they were interrupted, and stills with names."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from nerfkit.contracts import Rendering
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic, remove_partials
from nerfkit.views.draw import Channels
from nerfkit.views.frames import Pixels
from nerfkit.views.request import Request

SUFFIXES = (".png", ".exr")
_FILLER = re.compile(r"%(0\d+)?d")
_WRITERS = 2  # threads that compress: drawing takes longer than two of them do
_PNG_EFFORT = 1  # of zlib's 1 to 9: those above take several times as long for some percent

Write = Callable[[Path, Rendering], None]


def is_sequence(path: Path) -> bool:
    """Whether a path stands for a file a frame: a folder, or a name such as ``frame_%04d.png``."""
    return not path.suffix or _FILLER.search(path.name) is not None or path.suffix.lower() in SUFFIXES


def pattern_of(path: Path) -> Path:
    """The pattern of a sequence's files; a folder holds ``frame_%05d.png``.

    Raises:
        NerfkitError: no pattern with one number, an unknown kind of picture, or a folder or file in the way.
    """
    if not path.suffix:
        if path.is_file():
            raise NerfkitError(f"{path}: is a file; choose another folder for the frames")
        return path / "frame_%05d.png"
    if path.suffix.lower() not in SUFFIXES:
        raise NerfkitError(f"{path}: unknown kind of picture {path.suffix!r}; use {' or '.join(SUFFIXES)}")
    if len(_FILLER.findall(path.name)) != 1 or path.name.count("%") != 1:
        numbered = path.with_name(f"{path.stem.replace('%', '')}_%04d{path.suffix}").name
        raise NerfkitError(f"{path}: a file a frame needs one place for its number; write it like {numbered}")
    return path


class Frames:
    """A :class:`nerfkit.views.writing.Output`: a file for each drawing, whole or not there."""

    def __init__(self, paths: Sequence[Path], needed: Channels, write: Write):
        """Args: write: is called from several threads."""
        self.paths, self.needed, self.write = paths, needed, write
        self._pool = ThreadPoolExecutor(_WRITERS, "frames")
        self._waiting: list[Future[None]] = []

    @property
    def files(self) -> list[Path]:
        return list(self.paths)

    def begin(self) -> Set[int]:
        """All frames; what a killed attempt had begun of them is removed."""
        remove_partials(self.paths)
        return set(range(len(self.paths)))

    def add(self, index: int, drawn: Rendering) -> None:
        self._waiting.append(self._pool.submit(self._put, self.paths[index], drawn))
        while len(self._waiting) > _WRITERS:
            self._waiting.pop(0).result()

    def _put(self, path: Path, drawn: Rendering) -> None:
        with atomic(path) as partial:
            self.write(partial, drawn)

    def finish(self) -> None:
        while self._waiting:
            self._waiting.pop(0).result()

    def stop(self) -> None:
        self._pool.shutdown(cancel_futures=True)


class Numbered(Frames):
    """Frames with numbers, which go on where an earlier attempt at the same request stopped."""

    def __init__(self, pattern: Path, request: Request, needed: Channels, write: Write):
        super().__init__([numbered(pattern, index) for index in range(request.frames)], needed, write)
        self.pattern, self.request = pattern, request
        self.note = pattern.with_name(f".{pattern.name.replace('%', '')}.json")

    def begin(self) -> Set[int]:
        """The frames that aren't there; all of them, with those of another request removed first.

        Raises:
            NerfkitError: files of these names that nerfkit hasn't made.
        """
        before = Request.load(self.note)
        if before != self.request:
            own = before.frames if before is not None else 0
            there = [path for path in self.paths[own:] if path.exists()]
            if there:
                raise NerfkitError(
                    f"{there[0]}: exists, and is none of nerfkit's; move it away or choose another output"
                )
            for index in range(own):
                numbered(self.pattern, index).unlink(missing_ok=True)
            remove_partials([numbered(self.pattern, index) for index in range(own)])
            self.request.save(self.note, self.pattern)
        remove_partials(self.paths)
        return {index for index, path in enumerate(self.paths) if not path.exists()}


def numbered(pattern: Path, index: int) -> Path:
    return pattern.with_name(pattern.name % index)


def write_png(path: Path, image: Pixels) -> None:
    """Writes [H, W, 3] or [H, W, 4], uint8 or uint16, tagged as sRGB."""
    order = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
    flags = [cv2.IMWRITE_PNG_COMPRESSION, _PNG_EFFORT]
    done, data = cv2.imencode(".png", cv2.cvtColor(np.ascontiguousarray(image), order), flags)
    if not done:
        raise NerfkitError(f"{path}: this picture can't be written as PNG")
    path.write_bytes(tagged_srgb(data.tobytes()))


def tagged_srgb(png: bytes) -> bytes:
    """A PNG with an sRGB chunk, perceptual intent, behind its header (PNG specification, 11.3.2.5)."""
    chunk = b"sRGB\0"
    return png[:33] + struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]
