"""Files of glTF 2.0: a document and the buffers beside it or within it (sections 3.6.1 and 4.4).

https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from nerfkit.errors import NerfkitError

MAGIC = b"glTF"
_JSON, _BIN = b"JSON", b"BIN\0"
_HEAD, _CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")
_LONGEST_JSON = 1 << 26  # bytes
_LARGEST_GLB = (1 << 32) - 1  # bytes


@dataclass(frozen=True)
class Held:
    """Bytes in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, count: int) -> bytes:
        return self.data[start : start + count]


@dataclass(frozen=True)
class FilePart:
    """``size`` bytes of a file from ``start`` on, of which only what is asked for is read."""

    path: Path
    start: int
    size: int

    @classmethod
    def whole(cls, path: Path) -> FilePart:
        return cls(path, 0, path.stat().st_size)

    def read(self, start: int, count: int) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.start + start)
            return file.read(max(0, min(count, self.size - start)))

    def part(self, start: int, size: int) -> FilePart:
        return FilePart(self.path, self.start + start, size)


Buffer = Held | FilePart


@dataclass(frozen=True)
class Gltf:
    """A document, and the binary chunk of its GLB (None in a ``.gltf``)."""

    path: Path
    document: dict[str, Any]
    binary: Buffer | None
    _buffers: dict[int, Buffer] = field(default_factory=dict)

    def buffer(self, index: Any) -> Buffer:
        """Raises NerfkitError: its data are missing, or damaged. LookupError, TypeError: there is no such buffer."""
        index = natural(index)
        if index not in self._buffers:
            self._buffers[index] = self._opened(self.document["buffers"][index])
        return self._buffers[index]

    def _opened(self, item: dict[str, Any]) -> Buffer:
        uri = item.get("uri")
        if uri is None and self.binary is not None:
            return self.binary
        if not isinstance(uri, str) or not uri:
            raise NerfkitError(f"{self.path}: damaged: a buffer of it has no place")
        if uri.startswith("data:"):
            try:
                return Held(base64.b64decode(uri.partition(",")[2], validate=True))
            except (ValueError, binascii.Error):
                raise NerfkitError(f"{self.path}: damaged: a buffer within it is no base64") from None
        name = unquote(uri)
        file = self.path.parent / name
        if Path(name).is_absolute() or ".." in Path(name).parts or "\0" in name or not file.is_file():
            raise NerfkitError(f"{self.path}: its data {name[:80]!r} are not beside it; put them there")
        return FilePart.whole(file)


def read_gltf(path: Path) -> Gltf:
    """Opens a ``.glb`` or ``.gltf``; which of them it is, its content tells.

    Raises:
        NerfkitError: no glTF 2.0, or damaged.
        OSError: it cannot be read.
    """
    file = FilePart.whole(path)
    if file.read(0, len(MAGIC)) == MAGIC:
        return read_glb(path, file)
    if file.size > _LONGEST_JSON:
        raise NerfkitError(f"{path}: is no glTF file, or its document is larger than {_LONGEST_JSON >> 20} MB")
    return Gltf(path, parsed(path, file.read(0, file.size)), None)


def read_glb(path: Path, data: Buffer) -> Gltf:
    """The document and the binary chunk of a GLB's bytes.

    Raises:
        NerfkitError: no GLB of glTF 2.0, or it is cut off.
    """
    begin = data.read(0, _HEAD.size + _CHUNK.size)
    if len(begin) < _HEAD.size + _CHUNK.size:
        raise NerfkitError(f"{path}: is truncated: {len(begin)} bytes are no GLB; load or export it again")
    magic, version, _ = _HEAD.unpack_from(begin)
    length, kind = _CHUNK.unpack_from(begin, _HEAD.size)
    if magic != MAGIC or version != 2 or kind != _JSON or length > _LONGEST_JSON:
        raise NerfkitError(f"{path}: is no glTF 2.0 file (version {version}), or damaged")
    start = len(begin)
    _check_end(path, start + length, data.size)
    document = parsed(path, data.read(start, length))
    chunk = data.read(start + length, _CHUNK.size)
    if len(chunk) < _CHUNK.size or _CHUNK.unpack(chunk)[1] != _BIN:
        return Gltf(path, document, Held(b""))
    size, start = _CHUNK.unpack(chunk)[0], start + length + _CHUNK.size
    _check_end(path, start + size, data.size)
    binary = data.part(start, size) if isinstance(data, FilePart) else Held(data.read(start, size))
    return Gltf(path, document, binary)


def parsed(path: Path, text: bytes) -> dict[str, Any]:
    """The document in a JSON text. Raises NerfkitError: it is none of glTF."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NerfkitError(f"{path}: is no glTF file, or damaged ({str(error)[:80]})") from None
    if not isinstance(document, dict) or not isinstance(document.get("asset"), dict):
        raise NerfkitError(f"{path}: is no glTF file: its document has no asset")
    return document


def glb_head(document: dict[str, Any], size: int) -> bytes:
    """What a GLB begins with: all but the ``size`` bytes, a multiple of four, of its one buffer.

    Raises:
        NerfkitError: more than the 32 bits of a GLB's lengths can say.
    """
    if size % 4:
        raise ValueError(f"{size} bytes are no multiple of four")
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = _HEAD.size + 2 * _CHUNK.size + len(text) + size
    if total > _LARGEST_GLB:
        raise NerfkitError(
            f"a .glb file holds at most 4 GiB, and {total:,} bytes are needed; write less, or another format"
        )
    return _HEAD.pack(MAGIC, 2, total) + _CHUNK.pack(len(text), _JSON) + text + _CHUNK.pack(size, _BIN)


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """A document of another form than the specification's is the file's fault: one line of a NerfkitError."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise NerfkitError(
            f"{path}: is a damaged glTF: it lacks something, or has it in another form "
            f"({type(error).__name__}: {str(error)[:80]}); load or export it again"
        ) from None


def natural(value: Any) -> int:
    """A whole number from 0 on, as of indices, counts and offsets. Raises TypeError: it is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise TypeError(f"{str(value)[:40]} is no whole number from 0 on")
    return value


def _check_end(path: Path, needed: int, available: int) -> None:
    if needed > available:
        raise NerfkitError(
            f"{path}: is truncated: {needed:,} bytes are needed, {available:,} are there; load or export it again"
        )
