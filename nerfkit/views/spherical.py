"""What tells players that an MP4 is stereoscopic, or a panorama: boxes in the description of its video track.

Google, "Spherical Video V2 RFC" (github.com/google/spatial-media, docs/spherical-video-v2-rfc.md): ``st3d`` and
``sv3d`` in the visual sample entry. ISO/IEC 14496-12 for the boxes around.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nerfkit import __version__
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.views.stereo import Layout

_PATH = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_STEREO_MODES = {None: 0, "over-under": 1, "side-by-side": 2}
_COUNTED = 8  # bytes of a full box's version, flags and number of entries


def mark(path: Path, layout: Layout | None, degrees: int | None, named: Path | None = None) -> None:
    """Adds the boxes to a finished MP4 with one video track and its index at the front.

    Args:
        layout: how two eyes' pictures share a frame; None for one eye.
        degrees: that an equirectangular frame (of each eye) spans from left to right; None for a flat picture.
        named: what errors are about, where the user knows nothing of ``path``.

    Raises:
        NerfkitError: a file that isn't such an MP4.
    """
    boxes = (stereo_box(layout) if layout else b"") + (projection_box(degrees) if degrees else b"")
    with path.open("rb") as file, atomic(path, named) as partial:
        head = _through_moov(file, named or path)
        with partial.open("wb") as out:
            out.write(inserted(head, boxes))
            shutil.copyfileobj(file, out, 1 << 20)


def _through_moov(file: BinaryIO, path: Path) -> bytes:
    """The file up to the end of its index, which lies before the media."""
    end = 0
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        end += size
        if kind == b"moov":
            file.seek(0)
            return file.read(end)
        if kind == b"mdat" or size < 8:
            break
        file.seek(end)
    raise NerfkitError(f"{path}: no MP4 that begins with its index, so that it can't be marked as a panorama or stereo")


def stereo_box(layout: Layout | None) -> bytes:
    return _full_box(b"st3d", struct.pack(">B", _STEREO_MODES[layout]))


def projection_box(degrees: int) -> bytes:
    """An equirectangular projection; what a narrower picture leaves out on either side are shares of 2^32."""
    beside = round((1 - degrees / 360) / 2 * 2**32)
    head = _full_box(b"svhd", f"nerfkit {__version__}\0".encode())
    pose = _full_box(b"prhd", struct.pack(">iii", 0, 0, 0))
    bounds = _full_box(b"equi", struct.pack(">IIII", 0, 0, beside, beside))
    return _box(b"sv3d", head + _box(b"proj", pose + bounds))


def inserted(head: bytes, boxes: bytes) -> bytes:
    """A file's beginning, up to the end of ``moov``, with boxes at the end of its first sample entry.

    Sizes of the boxes around it follow, and the places of all chunks, which come behind it.
    """
    out = bytearray(head)
    start, end, parents = 0, len(head), []
    for name in _PATH:
        at, start, _, end = next(box for box in _boxes(head, start, end) if box[2] == name)
        parents.append(at)
    entry, _, _, entry_end = next(_boxes(head, start + _COUNTED, end))
    for at in (*parents, entry):
        struct.pack_into(">I", out, at, struct.unpack_from(">I", head, at)[0] + len(boxes))
    for at, kind in _chunk_tables(head, parents[0] + 8, len(head)):
        form, width = (">I", 4) if kind == b"stco" else (">Q", 8)
        for index in range(struct.unpack_from(">I", head, at + 4)[0]):
            place = at + _COUNTED + width * index
            struct.pack_into(form, out, place, struct.unpack_from(form, head, place)[0] + len(boxes))
    return bytes(out[:entry_end]) + boxes + bytes(out[entry_end:])


def _chunk_tables(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    for _, content, kind, stop in _boxes(data, start, end):
        if kind in (b"trak", b"mdia", b"minf", b"stbl"):
            yield from _chunk_tables(data, content, stop)
        elif kind in (b"stco", b"co64"):
            yield content, kind


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, bytes, int]]:
    """Where each box begins, where its content does, its kind, and where it ends."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        yield start, start + 8, kind, min(start + size, end)
        start += max(size, 8)


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def _full_box(kind: bytes, content: bytes) -> bytes:
    return _box(kind, b"\0\0\0\0" + content)
