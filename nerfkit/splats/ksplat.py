"""mkkellogg's ``.ksplat``, to read: sections of Gaussians in buckets, of compression levels 0, 1 and 2.

A header of 4096 bytes, then 1024 bytes for each section, then the sections: lengths of their partly filled buckets, the
buckets' centres, and rows of place, scales, quaternion (w x y z), colour with opacity, and coefficients. Level 0 has
floats; in levels 1 and 2 places are 16-bit offsets from a bucket's centre and other values half floats, and in level 2
coefficients are bytes. A band's coefficients are all of red, then green, then blue. Source:
https://github.com/mkkellogg/GaussianSplats3D (SplatBuffer.js).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.splats.blocks import blocks, check_count, check_size
from nerfkit.splats.ply_header import read_rows
from nerfkit.splats.stream import Splats, in_file

MAX_DEGREE = 3
_HEADER, _SECTION_HEADER = 4096, 1024
_MAIN = struct.Struct("<BB2xIIIIH2x12xff")
_PER_SECTION = struct.Struct("<IIIIfH2xIIIIH")
_RANGE = 32767  # of 16-bit offsets, where a section doesn't give its own
_SH_RANGE = 1.5  # of the bytes of level 2, where the header doesn't give it
_BANDS = ((0, 3), (3, 8), (8, 15))


@dataclass(frozen=True)
class _Section:
    count: int
    room: int  # rows in the file, of which the first `count` are used
    bucket_size: int
    buckets: int
    block: float
    bucket_bytes: int
    range: int
    full: int
    partial: int
    degree: int
    start: int


def open_file(path: Path) -> Splats:
    """Raises NerfkitError: no .ksplat file, an unknown version or level, or damaged data."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        check_size(path, _HEADER, size)
        major, minor, room, used, _, _, level, low, high = _MAIN.unpack(file.read(_HEADER)[: _MAIN.size])
        if (major, minor) != (0, 1) or level > 2:
            raise NerfkitError(f"{path}: is no .ksplat file of version 0.1 ({major}.{minor}, level {level})")
        check_size(path, _HEADER + room * _SECTION_HEADER, size)
        sections = _sections(path, file, room, min(used, room), level, size)
    count = sum(section.count for section in sections)
    check_count(path, count, size)
    if count == 0:
        raise NerfkitError(f"{path}: holds no Gaussians")
    span = (low, high) if low < high and np.isfinite([low, high]).all() else (-_SH_RANGE, _SH_RANGE)
    degree = max(section.degree for section in sections)

    def decoded() -> Iterator[Gaussians]:
        with path.open("rb") as file:
            for section in sections:
                yield from _decoded(path, file, section, level, span, degree)

    return in_file(path, degree, count, decoded)


def _sections(path: Path, file: BinaryIO, room: int, used: int, level: int, size: int) -> list[_Section]:
    start = _HEADER + room * _SECTION_HEADER
    sections: list[_Section] = []
    for _ in range(used):
        words = _PER_SECTION.unpack(file.read(_SECTION_HEADER)[: _PER_SECTION.size])
        count, rows, bucket_size, buckets, block, bucket_bytes, span, _, full, partial, degree = words
        section = _Section(
            count, rows, bucket_size, buckets, block, bucket_bytes, span or _RANGE, full, partial, degree, start
        )
        if degree > MAX_DEGREE or count > rows or (buckets and bucket_bytes != 12):
            raise NerfkitError(f"{path}: damaged: a section of SH degree {degree}, {count} of {rows} Gaussians")
        if level and (full * bucket_size > count or full + partial > buckets or not np.isfinite(block)):
            raise NerfkitError(f"{path}: damaged: a section of {count:,} Gaussians in {buckets} buckets")
        body = partial * 4 + buckets * bucket_bytes
        check_size(path, start + body + count * _row(level, degree).itemsize, size)
        sections.append(section)
        start += body + rows * _row(level, degree).itemsize
    return sections


def _row(level: int, degree: int) -> np.dtype:
    place, number, coefficient = ("<f4", "<f4", "<f4") if level == 0 else ("<u2", "<f2", ("", "<f2", "u1")[level])
    fields = [("means", place, 3), ("scales", number, 3), ("quats", number, 4), ("rgba", "u1", 4)]
    return np.dtype([*fields, ("sh", coefficient, (3 * ((degree + 1) ** 2 - 1),))])


def _decoded(
    path: Path, file: BinaryIO, section: _Section, level: int, span: tuple[float, float], degree: int
) -> Iterator[Gaussians]:
    """The Gaussians of a section, with zeros for the bands that other sections have up to a degree."""
    file.seek(section.start)
    lengths = np.frombuffer(file.read(section.partial * 4), "<u4").astype(np.int64)
    centers = np.frombuffer(file.read(section.buckets * section.bucket_bytes), "<f4").reshape(-1, 3)
    ends = section.full * section.bucket_size + np.cumsum(lengths)
    if level and section.count > (ends[-1] if len(ends) else section.full * section.bucket_size):
        raise NerfkitError(f"{path}: damaged: a section's buckets hold fewer Gaussians than the section")
    dtype = _row(level, section.degree)
    for rows in blocks(section.count):
        table = read_rows(path, file, dtype, rows.stop - rows.start)
        means = table["means"].astype(np.float32)
        if level:
            index = np.arange(rows.start, rows.stop)
            in_partial = section.full + np.searchsorted(ends, index, side="right")
            full = index // max(section.bucket_size, 1)
            bucket = np.where(index < section.full * section.bucket_size, full, in_partial)
            with np.errstate(invalid="ignore", over="ignore"):  # what isn't finite is left out at the end
                means = (means - section.range) * (section.block / 2 / section.range) + centers[bucket]
        yield _row_values(table, means.astype(np.float32), level, span, section.degree, degree)


def _row_values(
    table: np.ndarray, means: np.ndarray, level: int, span: tuple[float, float], stored: int, degree: int
) -> Gaussians:
    rgba = torch.from_numpy(table["rgba"].astype(np.float32)) / 255
    sh = torch.zeros(len(table), (degree + 1) ** 2, 3)
    sh[:, 0] = values.dc_from_rgb(rgba[:, :3])
    higher = torch.from_numpy(table["sh"].astype(np.float32))
    if level == 2:
        higher = higher / 255 * (span[1] - span[0]) + span[0]
    for begin, end in _BANDS[:stored]:
        band = higher[:, 3 * begin : 3 * end].reshape(-1, 3, end - begin)
        sh[:, 1 + begin : 1 + end] = band.transpose(1, 2)
    scales, quats = (torch.from_numpy(table[name].astype(np.float32)) for name in ("scales", "quats"))
    return Gaussians(torch.from_numpy(means), quats, scales, rgba[:, 3], sh)
