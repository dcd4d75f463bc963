"""PlayCanvas' compressed PLY: 16 bytes a Gaussian beside its higher bands, a byte a coefficient for those.

Chunks of 256 Gaussians store the bounds of their places, log scales and colours; within these each Gaussian has
places and log scales of 11, 10 and 11 bits, the three smallest components of its quaternion (w x y z) in 10 bits each
after the index of the largest, and 8 bits of each colour and of the opacity. Coefficients of the higher bands are
bytes over [-4, 4], in the order of the plain PLY. Source: PlayCanvas' user manual, "The PLY Format", and what
splat-transform writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.core.curve import morton_order
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats.blocks import BLOCK, Filling, blocks, degree_of, select
from nerfkit.splats.ply_header import Element, read_header, read_rows, seek_rows
from nerfkit.splats.rotations import HALF_SQRT_2, from_smallest_three, smallest_three

MAX_DEGREE = 3
CHUNK = 256
_BOUNDS = [f"{end}_{name}" for names in (("x", "y", "z"), ("scale_x", "scale_y", "scale_z"), ("r", "g", "b"))
           for end in ("min", "max") for name in names]  # fmt: skip
_PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_DEGREES = {0: 0, 9: 1, 24: 2, 45: 3}  # numbers of f_rest_* fields
_SH_RANGE = 8.0
_LOG_SCALES = (-20.0, 20.0)


def fits(elements: Mapping[str, Element]) -> bool:
    """Whether the elements are those of a compressed PLY."""
    return "chunk" in elements and "vertex" in elements and "packed_position" in elements["vertex"].names


def read(path: Path) -> Gaussians:
    """Raises NerfkitError: no compressed PLY, or a damaged one."""
    with path.open("rb") as file:
        elements = read_header(path, file)
        if not fits(elements):
            raise NerfkitError(f"{path}: is no compressed PLY: it has no chunks")
        return read_elements(path, file, elements)


def read_elements(path: Path, file: BinaryIO, elements: Mapping[str, Element]) -> Gaussians:
    """Reads the rows that the header tells of.

    Raises:
        NerfkitError: parts are missing or the file is truncated.
    """
    chunk, vertex, sh = elements["chunk"], elements["vertex"], elements.get("sh")
    rest = 0 if sh is None else len(sh.names)
    _check(path, chunk, vertex, sh, rest)
    dtype = seek_rows(path, file, chunk)
    bounds = read_rows(file, dtype, chunk.count)
    names = _BOUNDS if "min_r" in chunk.names else _BOUNDS[:12]  # the first files had no bounds of colours
    table = torch.from_numpy(np.stack([bounds[name].astype(np.float32) for name in names], 1))
    if len(names) < len(_BOUNDS):
        table = torch.cat([table, torch.tensor([0.0, 0, 0, 1, 1, 1]).expand(len(table), 6)], 1)
    dtype = seek_rows(path, file, vertex)
    out = Filling(vertex.count, _DEGREES[rest])
    for rows in blocks(vertex.count):
        packed = read_rows(file, dtype, rows.stop - rows.start)
        words = [torch.from_numpy(packed[name].astype(np.int64)) for name in _PACKED]
        _fill(out, rows, words, table[torch.arange(rows.start, rows.stop) // CHUNK])
    if sh is not None and rest:
        _fill_bands(out, path, file, sh, rest)
    return out.finish(path)


def write(path: Path, gaussians: Gaussians) -> None:
    """Writes Gaussians in Morton order, atomically.

    Raises:
        NerfkitError: the file cannot be written.
    """
    order = morton_order(gaussians.means)
    degree, n = degree_of(gaussians), len(gaussians)
    rest = 3 * ((degree + 1) ** 2 - 1)
    header = ["ply", "format binary_little_endian 1.0", "comment nerfkit", f"element chunk {-(-n // CHUNK)}"]
    header += [f"property float {name}" for name in _BOUNDS] + [f"element vertex {n}"]
    header += [f"property uint {name}" for name in _PACKED]
    header += [f"element sh {n}", *(f"property uchar f_rest_{i}" for i in range(rest))] if rest else []
    tables = [_pack(select(gaussians, order[rows])) for rows in blocks(n)]  # BLOCK is a multiple of CHUNK
    with atomic(path) as partial, partial.open("wb") as file:
        file.write(("\n".join([*header, "end_header"]) + "\n").encode("ascii"))
        for part in (0, 1):
            for table in tables:
                file.write(table[part].data)
        for rows in blocks(n if rest else 0):
            higher = gaussians.sh[order[rows], 1:].transpose(1, 2).flatten(1)
            file.write(((higher / _SH_RANGE + 0.5) * 256).clamp(0, 255).byte().contiguous().numpy().data)


def _check(path: Path, chunk: Element, vertex: Element, sh: Element | None, rest: int) -> None:
    missing = [name for name in _BOUNDS[:12] if name not in chunk.names]
    missing += [name for name in _PACKED if name not in vertex.names]
    missing += [name for name in _BOUNDS[12:] if "min_r" in chunk.names and name not in chunk.names]
    if sh is not None and rest in _DEGREES:
        missing += [f"f_rest_{i}" for i in range(rest) if f"f_rest_{i}" not in sh.names]
    if missing or rest not in _DEGREES:
        raise NerfkitError(f"{path}: is no compressed PLY: it lacks {', '.join(missing[:4]) or 'whole SH bands'}")
    if vertex.count > chunk.count * CHUNK or (sh is not None and sh.count != vertex.count):
        raise NerfkitError(f"{path}: damaged header: its numbers of chunks, Gaussians and coefficients disagree")


def _fill(out: Filling, rows: slice, words: list[Tensor], bounds: Tensor) -> None:
    position, rotation, scale, color = words
    out.means[rows] = _between(bounds[:, 0:6], _fields(position, (11, 10, 11)))
    others = (_fields(rotation, (10, 10, 10)) - 0.5) / HALF_SQRT_2
    out.quats[rows] = from_smallest_three(rotation >> 30, others)
    out.scales[rows] = values.scale_from_log(_between(bounds[:, 6:12], _fields(scale, (11, 10, 11))))
    rgba = _fields(color, (8, 8, 8, 8))
    out.sh[rows, 0] = values.dc_from_rgb(_between(bounds[:, 12:18], rgba[:, :3]))
    out.opacities[rows] = rgba[:, 3]


def _fill_bands(out: Filling, path: Path, file: BinaryIO, sh: Element, rest: int) -> None:
    dtype = seek_rows(path, file, sh)
    for rows in blocks(sh.count):
        table = read_rows(file, dtype, rows.stop - rows.start)
        stored = np.stack([table[f"f_rest_{i}"].astype(np.float32) for i in range(rest)], 1)
        share = torch.from_numpy(np.where(stored == 0, 0, np.where(stored == 255, 1, (stored + 0.5) / 256)))
        out.sh[rows, 1:] = ((share - 0.5) * _SH_RANGE).reshape(-1, 3, rest // 3).transpose(1, 2).float()


def _pack(gaussians: Gaussians) -> tuple[np.ndarray, np.ndarray]:
    """Bounds [chunks, 18] and words [N, 4] of at most a block of Gaussians."""
    n = len(gaussians)
    assert n <= BLOCK
    logs = values.log_from_scale(gaussians.scales).clamp(*_LOG_SCALES)
    kinds = [gaussians.means.float(), logs, values.rgb_from_dc(gaussians.sh[:, 0].float())]
    chunks = -(-n // CHUNK)
    bounds, shares = [], []
    for kind in kinds:
        padded = torch.cat([kind, kind[-1:].expand(chunks * CHUNK - n, 3)]).reshape(chunks, CHUNK, 3)
        low, high = padded.amin(1), padded.amax(1)  # [chunks, 3]
        bounds += [low, high]
        span = (high - low)[:, None]
        share = torch.where(span > 1e-5, (padded - low[:, None]) / span.clamp_min(1e-5), 0)
        shares.append(share.reshape(-1, 3)[:n])
    largest, others = smallest_three(gaussians.quats)
    words = [
        _joined(shares[0], (11, 10, 11)),
        _joined(others * HALF_SQRT_2 + 0.5, (10, 10, 10)) | (largest << 30),
        _joined(shares[1], (11, 10, 11)),
        _joined(torch.cat([shares[2], gaussians.opacities[:, None].float()], 1), (8, 8, 8, 8)),
    ]
    table = np.ascontiguousarray(torch.cat(bounds, 1).numpy().astype("<f4", copy=False))
    return table, np.ascontiguousarray(torch.stack(words, 1).numpy().astype("<u4"))


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
