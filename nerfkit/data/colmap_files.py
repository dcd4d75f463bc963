"""Whether the binary files of a COLMAP model are whole.

COLMAP's reader trusts the counts in its files: a truncated file lets it read values that are not there,
allocate without bound or end the process. The counts and sizes are therefore walked through first.
Layouts: COLMAP's documentation, "Output Format", with the rigs and frames of version 3.12.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

from nerfkit.errors import NerfkitError

POSE = 7 * 8  # bytes: a quaternion and a translation


class _Damaged(Exception):
    pass


class _Cursor:
    """A place in the bytes of a file, that never moves beyond their end."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def skip(self, size: int) -> None:
        if size > len(self.data) - self.at:
            raise _Damaged
        self.at += size

    def number(self, kind: str) -> int:
        """One little-endian integer: ``I`` uint32, ``i`` int32, ``Q`` uint64, ``B`` uint8."""
        start = self.at
        self.skip(struct.calcsize("<" + kind))
        value: int = struct.unpack_from("<" + kind, self.data, start)[0]
        return value

    def text(self) -> None:
        end = self.data.find(b"\0", self.at)
        if end <= self.at:
            raise _Damaged
        self.at = end + 1


def check_binary(model: Path) -> None:
    """Walks through every binary file of the model folder.

    Raises:
        NerfkitError: a file is truncated, or its counts don't fit its size.
    """
    for name, record in RECORDS.items():
        file = model / f"{name}.bin"
        if file.is_file() and not _whole(file.read_bytes(), record):
            raise NerfkitError(f"{file}: truncated or damaged; copy it again, or make the model again")


def _whole(data: bytes, record: Callable[[_Cursor], None]) -> bool:
    cursor = _Cursor(data)
    try:
        for _ in range(cursor.number("Q")):
            record(cursor)
    except _Damaged:
        return False
    return cursor.at == len(data)


def _camera(cursor: _Cursor) -> None:
    cursor.skip(4)
    parameters = _parameters(cursor.number("i"))
    if not 0 < cursor.number("Q") < 1 << 20 or not 0 < cursor.number("Q") < 1 << 20:  # width, height
        raise _Damaged
    cursor.skip(8 * parameters)


def _parameters(model_id: int) -> int:
    import pycolmap

    if model_id not in {int(known.value) for known in pycolmap.CameraModelId.__members__.values()} - {-1}:
        raise _Damaged
    return len(pycolmap.Camera.create_from_model_id(1, pycolmap.CameraModelId(model_id), 1.0, 1, 1).params)


def _image(cursor: _Cursor) -> None:
    cursor.skip(4 + POSE + 4)
    cursor.text()
    cursor.skip(24 * cursor.number("Q"))


def _point(cursor: _Cursor) -> None:
    cursor.skip(8 + 24 + 3 + 8)
    cursor.skip(8 * cursor.number("Q"))


def _rig(cursor: _Cursor) -> None:
    cursor.skip(4)
    sensors = cursor.number("I")
    cursor.skip(8 if sensors else 0)  # the reference sensor has no pose
    for _ in range(sensors - 1):
        cursor.skip(8)
        cursor.skip(POSE if cursor.number("B") else 0)


def _frame(cursor: _Cursor) -> None:
    cursor.skip(4 + 4 + POSE)
    cursor.skip(16 * cursor.number("I"))


RECORDS: dict[str, Callable[[_Cursor], None]] = {
    "cameras": _camera,
    "images": _image,
    "points3D": _point,
    "rigs": _rig,
    "frames": _frame,
}
