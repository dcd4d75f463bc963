"""Headers and rows of PLY files (Turk, The PLY Polygon File Format, 1994): ascii and binary of either byte order."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from nerfkit.errors import NerfkitError
from nerfkit.splats import upright
from nerfkit.splats.blocks import blocks, check_size
from nerfkit.splats.upright import Up

_NUMPY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2",
    "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4", "float": "f4", "float32": "f4",
    "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "<"}
_LONGEST = 1 << 16  # bytes of a header, of which real ones have about 2,000, and of a line
_MOST_DIGITS = 12  # of a count


@dataclass(frozen=True)
class Element:
    """Rows of one kind, and where in the file they begin; ``dtype`` is None where a property is a list."""

    name: str
    count: int
    dtype: np.dtype | None
    start: int | None  # bytes, or lines of an ascii file; None: behind lists, whose lengths the header doesn't tell
    ascii: bool

    @property
    def names(self) -> tuple[str, ...]:
        return (self.dtype.names or ()) if self.dtype is not None else ()

    def check(self, path: Path) -> None:
        """Raises NerfkitError: its rows have lists or come after lists, or the file is too short for them."""
        if self.dtype is None or self.start is None:
            raise NerfkitError(f"{path}: is no PLY of Gaussian splats: {self.name} has lists, or comes after lists")
        if self.ascii:  # each number is a digit and what is behind it
            check_size(path, self.count * 2 * len(self.names), path.stat().st_size)
        else:
            check_size(path, self.start + self.count * self.dtype.itemsize, path.stat().st_size)

    def rows(self, path: Path) -> Iterator[np.ndarray]:
        """The rows in blocks. Raises NerfkitError: it ends before they do, or there is something else."""
        assert self.dtype is not None and self.start is not None
        with path.open("rb") as file:
            if self.ascii:
                yield from self._lines(path, file, self.dtype, self.start)
                return
            file.seek(self.start)
            for block in blocks(self.count):
                yield read_rows(path, file, self.dtype, block.stop - block.start)

    def _lines(self, path: Path, file: BinaryIO, dtype: np.dtype, start: int) -> Iterator[np.ndarray]:
        lines = iter(lambda: file.readline(_LONGEST), b"")
        next(itertools.islice(lines, start - 1, start), None)
        for block in blocks(self.count):
            found = list(itertools.islice(lines, block.stop - block.start))
            if len(found) < block.stop - block.start:
                raise NerfkitError(
                    f"{path}: is truncated: it has {block.start + len(found):,} of {self.count:,} rows; load it again"
                )
            if not all(map(bytes.strip, found)):
                raise NerfkitError(f"{path}: damaged: a row of {self.name} is empty")
            try:
                yield np.loadtxt(found, dtype, comments=None, ndmin=1)
            except (ValueError, OverflowError) as error:
                raise NerfkitError(f"{path}: damaged: no row of {self.name} ({str(error)[:100]})") from None


@dataclass(frozen=True)
class Header:
    """What a file has, and what it says beside that."""

    elements: dict[str, Element]  # by name, in the file's order
    comments: list[str]  # without the word


def read_header(path: Path) -> Header:
    """The header of a PLY.

    Raises:
        NerfkitError: no PLY, or a damaged header.
    """
    text, length = _text(path)
    lines = [line.split() for line in text.splitlines()]
    kind = next((line[1] for line in lines if line[:1] == ["format"] and line[2:] == ["1.0"]), "of no format")
    if kind not in _ORDERS:
        raise NerfkitError(f"{path}: is {kind[:40]}, and only PLY files of format 1.0 can be read; save it as binary")
    is_ascii = kind == "ascii"
    elements: dict[str, Element] = {}
    start: int | None = text.count("\n") + 1 if is_ascii else length
    for name, count, properties in _sections(path, lines):
        dtype = _dtype(path, properties, _ORDERS[kind])
        if name in elements:
            raise NerfkitError(f"{path}: damaged header: two elements are named {name[:40]}")
        elements[name] = Element(name, count, dtype, start, is_ascii)
        if is_ascii:
            start = None if start is None else start + count
        else:
            start = None if start is None or dtype is None else start + count * dtype.itemsize
    return Header(elements, _comments(text))


def said_up(path: Path) -> Up | None:
    """Which axis is up by a comment of the header; None: it doesn't say it. Raises NerfkitError: as `read_header`."""
    return upright.of_comments(read_header(path).comments)


def read_rows(path: Path, file: BinaryIO, dtype: np.dtype, count: int) -> np.ndarray:
    """The next rows of a file. Raises NerfkitError: it ends before them."""
    data = file.read(count * dtype.itemsize)
    check_size(path, count * dtype.itemsize, len(data))
    return np.frombuffer(data, dtype, count)


def columns(table: np.ndarray, names: Iterable[str]) -> Tensor:
    """Properties [N, names] of rows, as float32; what doubles say beyond that is infinite, or no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        return torch.from_numpy(np.stack([table[name].astype(np.float32) for name in names], 1))


def _text(path: Path) -> tuple[str, int]:
    """The header before its last line, and how many bytes it takes with that. Raises NerfkitError: no PLY."""
    with path.open("rb") as file:
        begin = file.read(_LONGEST)
    end = begin.find(b"end_header")
    newline = begin.find(b"\n", end)
    if not begin.startswith(b"ply") or end < 0 or newline < 0:
        raise NerfkitError(f"{path}: is no PLY file")
    return begin[:end].decode("ascii", "replace"), newline + 1


def _comments(text: str) -> list[str]:
    lines = [line.partition("comment ") for line in text.splitlines()]
    return [said.strip() for before, _, said in lines if not before]


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


def _dtype(path: Path, properties: list[list[str]], order: str) -> np.dtype | None:
    if any(line[1:2] == ["list"] for line in properties):
        return None
    for line in properties:
        if len(line) != 3 or line[1] not in _NUMPY_TYPES:
            raise NerfkitError(f"{path}: damaged header: {' '.join(line)[:60]!r} is no property")
    names = [line[2] for line in properties]
    if len(set(names)) != len(names):
        raise NerfkitError(f"{path}: damaged header: an element has two properties of one name")
    return np.dtype([(line[2], order + _NUMPY_TYPES[line[1]]) for line in properties])
