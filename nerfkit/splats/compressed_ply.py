"""PlayCanvas' compressed PLY: 16 bytes a Gaussian beside its higher bands, a byte a coefficient for those.

Chunks of 256 Gaussians store the bounds of their places, log scales and colours; within these each Gaussian has
places and log scales of 11, 10 and 11 bits, the three smallest components of its quaternion (w x y z) in 10 bits each
after the index of the largest, and 8 bits of each colour and of the opacity. Coefficients of the higher bands are
bytes over [-4, 4], in the order of the plain PLY. Source: PlayCanvas' user manual, "The PLY Format", and what
splat-transform writes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats import antialiased, upright
from nerfkit.splats.order import morton_ranks
from nerfkit.splats.ply_header import Element, Header, columns, read_header, said_up
from nerfkit.splats.rotations import HALF_SQRT_2, from_smallest_three, smallest_three
from nerfkit.splats.stream import Splats, in_file, numbered, stream
from nerfkit.splats.upright import Up

__all__ = ["MAX_DEGREE", "REST_DEGREES", "fits", "open_file", "open_rows", "said_up", "write"]

MAX_DEGREE = 3
CHUNK = 256
_BOUNDS = [f"{end}_{name}" for names in (("x", "y", "z"), ("scale_x", "scale_y", "scale_z"), ("r", "g", "b"))
           for end in ("min", "max") for name in names]  # fmt: skip
_PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
REST_DEGREES = {0: 0, 9: 1, 24: 2, 45: 3}  # SH degrees by the numbers of f_rest_* fields, as in the plain PLY
_SH_RANGE = 8.0
_LOG_SCALES = (-20.0, 20.0)
_SMALLEST_SPAN = 1e-30  # of a chunk: where all values are the same, it is the lowest


def fits(header: Header) -> bool:
    """Whether the elements are those of a compressed PLY."""
    elements = header.elements
    return "chunk" in elements and "vertex" in elements and "packed_position" in elements["vertex"].names


def open_file(path: Path) -> Splats:
    """Raises NerfkitError: no compressed PLY, or a damaged one."""
    header = read_header(path)
    if not fits(header):
        raise NerfkitError(f"{path}: is no compressed PLY: it has no chunks")
    return open_rows(path, header)


def open_rows(path: Path, header: Header) -> Splats:
    """The rows that the header tells of.

    Raises:
        NerfkitError: parts are missing or the file is truncated.
    """
    chunk, vertex, sh = header.elements["chunk"], header.elements["vertex"], header.elements.get("sh")
    rest = 0 if sh is None else len(sh.names)
    _check(path, chunk, vertex, sh, rest)
    for element in (chunk, vertex, sh) if sh is not None and rest else (chunk, vertex):
        element.check(path)
    names = _BOUNDS if "min_r" in chunk.names else _BOUNDS[:12]  # the first files had no bounds of colours

    def bounds() -> Tensor:
        tables = [columns(part, names) for part in chunk.rows(path)]
        table = torch.cat(tables) if tables else torch.empty(0, len(names))
        missing = torch.tensor([0.0, 0, 0, 1, 1, 1]).expand(len(table), 6)
        return table if len(names) == len(_BOUNDS) else torch.cat([table, missing], 1)

    def decoded() -> Iterator[Gaussians]:
        table, start = bounds(), 0
        higher = sh.rows(path) if sh is not None and rest else itertools.repeat(None)
        for packed, stored in zip(vertex.rows(path), higher):
            words = [torch.from_numpy(packed[name].astype(np.int64)) for name in _PACKED]
            chunks = table[torch.arange(start, start + len(packed)) // CHUNK]
            yield _unpacked(words, chunks, None if stored is None else _bands(stored, rest))
            start += len(packed)

    return in_file(path, REST_DEGREES[rest], vertex.count, decoded, antialiased.by_comments(header.comments))


def write(path: Path, gaussians: Gaussians | Splats, *, up: Up | None = None) -> int:
    """Writes Gaussians in Morton order, atomically.

    Args:
        up: what the file says of which axis is up.

    Returns:
        how many they are. Of a stream no more is held than the file has, and what puts it into order.

    Raises:
        NerfkitError: the file cannot be written.
    """
    splats = stream(gaussians)
    places, _ = morton_ranks(splats)
    n, rest = len(places), 3 * ((splats.degree + 1) ** 2 - 1)
    bounds = _bounds(splats, places)
    words, higher = np.empty((n, 4), "<u4"), np.empty((n, rest), np.uint8)
    for rows, block in numbered(splats):
        index = places[rows].numpy()
        words[index] = _packed(block, bounds[places[rows] // CHUNK])
        bands = (block.sh[:, 1:].transpose(1, 2).flatten(1) / _SH_RANGE + 0.5) * 256
        higher[index] = bands.clamp(0, 255).byte().numpy()
    header = ["ply", "format binary_little_endian 1.0", "comment nerfkit", f"element chunk {len(bounds)}"]
    header += [f"property float {name}" for name in _BOUNDS] + [f"element vertex {n}"]
    header += [f"property uint {name}" for name in _PACKED]
    header += [f"element sh {n}", *(f"property uchar f_rest_{i}" for i in range(rest))] if rest else []
    header += upright.comments(up) + antialiased.comments(splats.antialiased)
    with atomic(path) as partial, partial.open("wb") as file:
        file.write(("\n".join([*header, "end_header"]) + "\n").encode("ascii"))
        for part in (bounds.numpy().astype("<f4", copy=False), words, higher):
            file.write(part.data)
    return n


def _check(path: Path, chunk: Element, vertex: Element, sh: Element | None, rest: int) -> None:
    missing = [name for name in _BOUNDS[:12] if name not in chunk.names]
    missing += [name for name in _PACKED if name not in vertex.names]
    missing += [name for name in _BOUNDS[12:] if "min_r" in chunk.names and name not in chunk.names]
    if sh is not None and rest in REST_DEGREES:
        missing += [f"f_rest_{i}" for i in range(rest) if f"f_rest_{i}" not in sh.names]
    if missing or rest not in REST_DEGREES:
        raise NerfkitError(f"{path}: is no compressed PLY: it lacks {', '.join(missing[:4]) or 'whole SH bands'}")
    if vertex.count > chunk.count * CHUNK or (sh is not None and sh.count != vertex.count):
        raise NerfkitError(f"{path}: damaged header: its numbers of chunks, Gaussians and coefficients disagree")


def _unpacked(words: list[Tensor], bounds: Tensor, higher: Tensor | None) -> Gaussians:
    position, rotation, scale, color = words
    others = (_fields(rotation, (10, 10, 10)) - 0.5) / HALF_SQRT_2
    rgba = _fields(color, (8, 8, 8, 8))
    dc = values.dc_from_rgb(_between(bounds[:, 12:18], rgba[:, :3]))[:, None]
    return Gaussians(
        means=_between(bounds[:, 0:6], _fields(position, (11, 10, 11))),
        quats=from_smallest_three(rotation >> 30, others),
        scales=values.scale_from_log(_between(bounds[:, 6:12], _fields(scale, (11, 10, 11)))),
        opacities=rgba[:, 3],
        sh=dc if higher is None else torch.cat([dc, higher], 1),
    )


def _bands(table: np.ndarray, rest: int) -> Tensor:
    """Coefficients [N, K - 1, 3] of the bands above the constant one."""
    stored = columns(table, (f"f_rest_{i}" for i in range(rest)))
    share = torch.where(stored == 0, 0, torch.where(stored == 255, 1, (stored + 0.5) / 256))
    return ((share - 0.5) * _SH_RANGE).reshape(-1, 3, rest // 3).transpose(1, 2).float()


def _kinds(g: Gaussians) -> list[Tensor]:
    """What is stored between the bounds of a chunk: places, log scales, colours, each [N, 3]."""
    logs = values.log_from_scale(g.scales).clamp(*_LOG_SCALES)
    return [g.means.float(), logs, values.rgb_from_dc(g.sh[:, 0].float())]


def _bounds(splats: Splats, places: Tensor) -> Tensor:
    """Lowest and highest values [chunks, 18] of the Gaussians that go to each chunk."""
    chunks = -(-len(places) // CHUNK)
    low, high = torch.full((chunks, 9), math.inf), torch.full((chunks, 9), -math.inf)
    for rows, block in numbered(splats):
        stored = torch.cat(_kinds(block), 1)
        index = (places[rows] // CHUNK)[:, None].expand(-1, 9)
        low.scatter_reduce_(0, index, stored, "amin")
        high.scatter_reduce_(0, index, stored, "amax")
    ends = [end[:, 3 * kind : 3 * kind + 3] for kind in range(3) for end in (low, high)]
    return torch.cat(ends, 1)


def _packed(g: Gaussians, bounds: Tensor) -> np.ndarray:
    """The words [N, 4] of Gaussians in chunks of these bounds [N, 18]."""
    shares = []
    for kind, stored in enumerate(_kinds(g)):
        low, high = bounds[:, 6 * kind : 6 * kind + 3], bounds[:, 6 * kind + 3 : 6 * kind + 6]
        shares.append((stored - low) / (high - low).clamp_min(_SMALLEST_SPAN))
    largest, others = smallest_three(g.quats)
    words = [
        _joined(shares[0], (11, 10, 11)),
        _joined(others * HALF_SQRT_2 + 0.5, (10, 10, 10)) | (largest << 30),
        _joined(shares[1], (11, 10, 11)),
        _joined(torch.cat([shares[2], g.opacities[:, None].float()], 1), (8, 8, 8, 8)),
    ]
    return torch.stack(words, 1).numpy().astype("<u4")


def _fields(words: Tensor, bits: tuple[int, ...]) -> Tensor:
    """The shares [N, len(bits)], 0 to 1, in words [N] whose last field is the lowest."""
    shifts = [sum(bits[i + 1 :]) for i in range(len(bits))]
    return torch.stack([((words >> s) & ((1 << b) - 1)).float() / ((1 << b) - 1) for s, b in zip(shifts, bits)], 1)


def _joined(shares: Tensor, bits: tuple[int, ...]) -> Tensor:
    word = torch.zeros(len(shares), dtype=torch.int64)
    for column, b in zip(shares.double().unbind(1), bits):
        word = (word << b) | (column.clamp(0, 1) * ((1 << b) - 1) + 0.5).floor().long()
    return word


def _between(bounds: Tensor, share: Tensor) -> Tensor:
    return bounds[:, :3] * (1 - share) + bounds[:, 3:] * share
