"""Niantic's ``.spz``: about 20 bytes a Gaussian with its higher bands, compressed by gzip (versions 2 and 3) or, to
read only, by zstd (version 4).

After a header the attributes follow each other: places as 24-bit fixed-point numbers, opacities, colours
(``(0.15 dc + 0.5) 255``), log scales (``16 (s + 10)``) and coefficients (``128 c + 128``, with fewer significant bits)
as bytes, and quaternions: x y z as bytes in version 2, since version 3 the three smallest components in 10 bits each.
Axes are the splats' own, as in Niantic's ply_to_spz, splat-transform and the web viewers. Source:
https://github.com/nianticlabs/spz (README and load-spz.cc).
"""

from __future__ import annotations

import gzip
import logging
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats.blocks import blocks, check_count, check_size
from nerfkit.splats.order import morton_ranks
from nerfkit.splats.rotations import HALF_SQRT_2, from_smallest_three, smallest_three
from nerfkit.splats.stream import Splats, in_file, numbered, stream

log = logging.getLogger("nerfkit")

MAX_DEGREE = 3
MAGIC = 0x5053474E  # "NGSP"
_HEADER = struct.Struct("<IIIBBBB")
_ZSTD_HEADER = struct.Struct("<I12x")  # what version 4 has after that: where its table of contents is
_ANTIALIASED = 1  # of the header's flags
_ENTRY = struct.Struct("<QQ")  # compressed and plain size of a stream
_LARGEST_WINDOW = 1 << 27  # bytes that zstd may look back
_COEFFICIENTS = (0, 3, 8, 15, 24)  # beyond the constant one, by degree; degree 4 is read without its last band
_MOST_FRACTION_BITS = 20
_FIXED_MAX = (1 << 23) - 1
_COARSE = 2e-3  # of how far Gaussians usually reach: about a pixel of a photo
_COLOR_SCALE = 0.15
SH_BITS = (7, 6)  # of degree 1, and of those above; Niantic's tools take 5 and 4, which costs 1 dB (docs/benchmarks.md)


@dataclass(frozen=True)
class _Content:
    """What the header says, and where each attribute is read from, in the file's order."""

    count: int
    degree: int
    fraction_bits: int
    smallest_three: bool
    antialiased: bool
    streams: list[Any]

    def read(self, attribute: int, path: Path, width: int) -> np.ndarray:
        """The rows [count, width] of an attribute, bytes."""
        out = np.empty((self.count, width), np.uint8)
        for rows in blocks(self.count):
            size = (rows.stop - rows.start) * width
            try:
                data = self.streams[attribute].read(size)
            except (OSError, EOFError, zlib.error, _zstd_error()) as error:
                raise NerfkitError(f"{path}: its compressed data are damaged ({error}); load it again") from None
            check_size(path, size, len(data))
            out[rows] = np.frombuffer(data, np.uint8).reshape(-1, width)
        return out


def open_file(path: Path) -> Splats:
    """Versions 2, 3 and 4, decompressed: about 20 bytes a Gaussian are held, and three for each coefficient.

    Raises:
        NerfkitError: no .spz file, an unknown version, or damaged data.
    """
    with path.open("rb") as file:
        content = _open(path, file)
        stored = _COEFFICIENTS[content.degree]
        widths = [9, 1, 3, 3, 4 if content.smallest_three else 3, 3 * stored]
        tables = [content.read(attribute, path, width) for attribute, width in enumerate(widths) if width]
    degree = min(content.degree, MAX_DEGREE)
    kept = (degree + 1) ** 2 - 1

    def decoded() -> Iterator[Gaussians]:
        for rows in blocks(content.count):
            places, opacities, colors, scales, rotations = (table[rows] for table in tables[:5])
            sh = ((_floats(colors) / 255 - 0.5) / _COLOR_SCALE)[:, None]
            if stored:
                higher = ((_floats(tables[5][rows]) - 128) / 128).reshape(-1, stored, 3)
                sh = torch.cat([sh, higher[:, :kept]], 1)
            yield Gaussians(
                means=_places(places, content.fraction_bits),
                quats=_rotations(rotations) if content.smallest_three else _rotations_2(rotations),
                scales=values.scale_from_log(_floats(scales) / 16 - 10),
                opacities=_floats(opacities)[:, 0] / 255,
                sh=sh,
            )

    return in_file(path, degree, content.count, decoded, content.antialiased)


def write(path: Path, gaussians: Gaussians | Splats, *, version: int = 3, sh_bits: tuple[int, int] = SH_BITS) -> int:
    """Writes Gaussians in Morton order, atomically.

    Args:
        version: 2 or 3; rotations are finer in 3.
        sh_bits: significant bits of the coefficients of degree 1, and of those above: fewer compress better.

    Returns:
        how many they are. Of a stream no more is held than the file has before it is compressed, and what puts it into
        order.

    Raises:
        NerfkitError: the file cannot be written.
    """
    splats = stream(gaussians)
    places, extent = morton_ranks(splats)
    n, degree, bits = len(places), splats.degree, _fraction_bits(extent.farthest)
    if 2.0**-bits > _COARSE * extent.usual > 0:
        told = "%s: Gaussians reach as far as %.3g from the origin, so that .spz keeps places to %.3g only; %s"
        log.warning(told, path, extent.farthest, 2.0**-bits, "use --clean or a crop, or --translate to the origin")
    packers: list[tuple[int, Callable[[Gaussians], Tensor]]] = [
        (9, lambda g: _packed_places(g.means, bits)),
        (1, lambda g: g.opacities[:, None] * 255),
        (3, lambda g: (g.sh[:, 0] * _COLOR_SCALE + 0.5) * 255),
        (3, lambda g: (values.log_from_scale(g.scales) + 10) * 16),
        (4, lambda g: _packed_rotations(g.quats)) if version >= 3 else (3, lambda g: _packed_rotations_2(g.quats)),
        (3 * _COEFFICIENTS[degree], lambda g: _packed_bands(g.sh[:, 1:], sh_bits)),
    ]
    tables = [np.empty((n, width), np.uint8) for width, _ in packers]
    for rows, block in numbered(splats):
        for table, (_, pack) in zip(tables, packers):
            if table.size:
                table[places[rows].numpy()] = pack(block).round().clamp(0, 255).byte().numpy()
    with atomic(path) as partial, partial.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        file.write(_HEADER.pack(MAGIC, version, n, degree, bits, _ANTIALIASED if splats.antialiased else 0, 0))
        for table in tables:
            for rows in blocks(n):
                file.write(np.ascontiguousarray(table[rows]).data)
    return n


def _open(path: Path, file: BinaryIO) -> _Content:
    size = os.fstat(file.fileno()).st_size
    compressed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    source: Any = gzip.GzipFile(fileobj=file) if compressed else file
    try:
        begin = source.read(_HEADER.size)
    except (OSError, EOFError, zlib.error) as error:
        raise NerfkitError(f"{path}: its compressed data are damaged ({error}); load it again") from None
    if len(begin) < _HEADER.size or _HEADER.unpack(begin)[0] != MAGIC:
        raise NerfkitError(f"{path}: is no .spz file: it doesn't begin as one")
    _, version, count, degree, fraction_bits, flags, streams = _HEADER.unpack(begin)
    if version not in (2, 3, 4) or (version == 4) == compressed:
        raise NerfkitError(f"{path}: is of version {version}, and versions 2, 3 and 4 can be read")
    if degree >= len(_COEFFICIENTS) or fraction_bits > 31:
        raise NerfkitError(f"{path}: damaged header: SH degree {degree}, {fraction_bits} fraction bits")
    check_count(path, count, size)
    opened = _zstd_streams(path, file, streams, count, degree) if version == 4 else [source] * 6
    return _Content(count, degree, fraction_bits, version >= 3, bool(flags & _ANTIALIASED), opened)


def _zstd_streams(path: Path, file: BinaryIO, count: int, rows: int, degree: int) -> list[Any]:
    """Version 4: each attribute is a zstd stream of its own, listed in a table of contents."""
    import zstandard

    size = os.fstat(file.fileno()).st_size
    rest = file.read(_ZSTD_HEADER.size)
    check_size(path, _HEADER.size + _ZSTD_HEADER.size, _HEADER.size + len(rest))
    (contents,) = _ZSTD_HEADER.unpack(rest)
    widths = [9, 1, 3, 3, 4, 3 * _COEFFICIENTS[degree]][: 6 if degree else 5]
    if count != len(widths):
        raise NerfkitError(f"{path}: damaged header: it has {count} streams, not {len(widths)}")
    check_size(path, contents + count * _ENTRY.size, size)
    file.seek(contents)
    entries = [_ENTRY.unpack(file.read(_ENTRY.size)) for _ in widths]
    start = contents + count * _ENTRY.size
    check_size(path, start + sum(packed for packed, _ in entries), size)
    if any(plain != rows * width for (_, plain), width in zip(entries, widths)):
        raise NerfkitError(f"{path}: damaged header: the sizes of its streams disagree with its {rows:,} Gaussians")
    decompressor = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    streams = []
    for packed, _ in entries:
        file.seek(start)
        streams.append(decompressor.stream_reader(file.read(packed)))
        start += packed
    return streams


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError


def _floats(table: np.ndarray) -> Tensor:
    return torch.from_numpy(table.astype(np.float32))


def _places(table: np.ndarray, fraction_bits: int) -> Tensor:
    parts = torch.from_numpy(table.astype(np.int64)).reshape(-1, 3, 3)
    whole = parts[..., 0] | (parts[..., 1] << 8) | (parts[..., 2] << 16)
    whole = torch.where(whole > _FIXED_MAX, whole - (1 << 24), whole)
    return (whole.double() / (1 << fraction_bits)).float()


def _packed_places(means: Tensor, fraction_bits: int) -> Tensor:
    whole = (means.double() * (1 << fraction_bits)).round().clamp(-_FIXED_MAX, _FIXED_MAX).long()
    return torch.stack([whole & 255, (whole >> 8) & 255, (whole >> 16) & 255], -1).flatten(1)


def _fraction_bits(farthest: float) -> int:
    """As many as leave room for the farthest coordinate."""
    bits = int(np.floor(np.log2(_FIXED_MAX / max(farthest, 1e-9))))
    return min(max(bits, 0), _MOST_FRACTION_BITS)


def _rotations(table: np.ndarray) -> Tensor:
    words = torch.from_numpy(np.ascontiguousarray(table).view("<u4")[:, 0].astype(np.int64))
    fields = torch.stack([(words >> 20) & 1023, (words >> 10) & 1023, words & 1023], 1)
    others = (fields & 511).float() / 511 * HALF_SQRT_2 * torch.where(fields > 511, -1.0, 1.0)
    return from_smallest_three(words >> 30, others)[:, [3, 0, 1, 2]]  # the format has x y z w


def _packed_rotations(quats: Tensor) -> Tensor:
    largest, others = smallest_three(quats[:, [1, 2, 3, 0]])
    fields = (others.abs() / HALF_SQRT_2 * 511).round().long().clamp(0, 511) | ((others < 0).long() << 9)
    words = (largest << 30) | (fields[:, 0] << 20) | (fields[:, 1] << 10) | fields[:, 2]
    return torch.stack([(words >> shift) & 255 for shift in (0, 8, 16, 24)], 1)


def _rotations_2(table: np.ndarray) -> Tensor:
    xyz = _floats(table) / 127.5 - 1
    return torch.cat([(1 - xyz.square().sum(1, keepdim=True)).clamp_min(0).sqrt(), xyz], 1)


def _packed_rotations_2(quats: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(quats.double(), dim=1)
    return (torch.where(unit[:, :1] < 0, -unit, unit)[:, 1:] + 1) * 127.5


def _packed_bands(sh: Tensor, bits: tuple[int, int]) -> Tensor:
    """Coefficients [N, K - 1, 3] in steps of ``2^(8 - bits)``: equal bytes compress well."""
    steps = torch.full((sh.shape[1], 1), 2.0 ** (8 - bits[1]))
    steps[:3] = 2.0 ** (8 - bits[0])
    return ((sh * 128 / steps).round() * steps + 128).flatten(1)
