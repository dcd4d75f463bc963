"""Headers of binary PLY files (Turk, The PLY Polygon File Format, 1994)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nerfkit.errors import NerfkitError
from nerfkit.splats.blocks import check_size

_NUMPY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2",
    "uint16": "<u2", "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "float": "<f4",
    "float32": "<f4", "double": "<f8", "float64": "<f8",
}  # fmt: skip
_LONGEST = 1 << 16  # bytes of a header; real ones have about 2,000
_MOST_DIGITS = 12  # of a count


@dataclass(frozen=True)
class Element:
    """Rows of one kind, and where in the file they begin; ``dtype`` is None where a property is a list."""

    name: str
    count: int
    dtype: np.dtype | None
    start: int | None  # None: behind lists, whose lengths the header doesn't tell

    @property
    def names(self) -> tuple[str, ...]:
        return (self.dtype.names or ()) if self.dtype is not None else ()


def read_header(path: Path, file: BinaryIO) -> dict[str, Element]:
    """The elements by name, in the file's order.

    Raises:
        NerfkitError: no PLY, not a binary little-endian one, or a damaged header.
    """
    begin = file.read(_LONGEST)
    end = begin.find(b"end_header")
    newline = begin.find(b"\n", end)
    if not begin.startswith(b"ply") or end < 0 or newline < 0:
        raise NerfkitError(f"{path}: is no PLY file")
    lines = [line.split() for line in begin[:end].decode("ascii", "replace").splitlines()]
    if ["format", "binary_little_endian", "1.0"] not in lines:
        kind = next((" ".join(line[1:2]) for line in lines if line[:1] == ["format"]), "of no format")
        raise NerfkitError(
            f"{path}: is {kind[:40]}, and only binary little-endian PLY files can be read; save it as binary"
        )
    elements: dict[str, Element] = {}
    start: int | None = newline + 1
    for name, count, properties in _sections(path, lines):
        dtype = _dtype(path, properties)
        if name in elements:
            raise NerfkitError(f"{path}: damaged header: two elements are named {name[:40]}")
        elements[name] = Element(name, count, dtype, start)
        start = None if start is None or dtype is None else start + count * dtype.itemsize
    return elements


def seek_rows(path: Path, file: BinaryIO, element: Element) -> np.dtype:
    """Goes to where an element's rows begin, and gives their type.

    Raises:
        NerfkitError: its rows have lists or come after lists, or the file ends before them.
    """
    if element.dtype is None or element.start is None:
        raise NerfkitError(f"{path}: is no PLY of Gaussian splats: {element.name} has lists, or comes after lists")
    size = os.fstat(file.fileno()).st_size
    check_size(path, element.start + element.count * element.dtype.itemsize, size)
    file.seek(element.start)
    return element.dtype


def read_rows(file: BinaryIO, dtype: np.dtype, count: int) -> np.ndarray:
    """The next rows of the file, whose size :func:`seek_rows` has checked."""
    return np.frombuffer(file.read(count * dtype.itemsize), dtype, count)


def _sections(path: Path, lines: list[list[str]]) -> list[tuple[str, int, list[list[str]]]]:
    sections: list[tuple[str, int, list[list[str]]]] = []
    for line in lines:
        if line[:1] == ["element"]:
            if len(line) != 3 or not line[2].isdecimal() or not line[2].isascii() or len(line[2]) > _MOST_DIGITS:
                raise NerfkitError(f"{path}: damaged header: it gives no number of {' '.join(line[1:2])[:40]} rows")
            sections.append((line[1], int(line[2]), []))
        elif line[:1] == ["property"]:
            if not sections:
                raise NerfkitError(f"{path}: damaged header: a property of no element")
            sections[-1][2].append(line)
    return sections


def _dtype(path: Path, properties: list[list[str]]) -> np.dtype | None:
    if any(line[1:2] == ["list"] for line in properties):
        return None
    for line in properties:
        if len(line) != 3 or line[1] not in _NUMPY_TYPES:
            raise NerfkitError(f"{path}: damaged header: {' '.join(line)[:60]!r} is no property")
    names = [line[2] for line in properties]
    if len(set(names)) != len(names):
        raise NerfkitError(f"{path}: damaged header: an element has two properties of one name")
    return np.dtype([(line[2], _NUMPY_TYPES[line[1]]) for line in properties])
