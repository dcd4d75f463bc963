"""The PLY layout of Kerbl et al. 2023, which every splat tool reads.

One vertex a Gaussian, little-endian floats: ``x y z``, ``nx ny nz`` (zero), ``f_dc_0..2``, ``f_rest_*`` (all of red,
then green, then blue), ``opacity`` (logit), ``scale_0..2`` (log), ``rot_0..3`` (w x y z, unit).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats import antialiased, compressed_ply, upright
from nerfkit.splats.compressed_ply import REST_DEGREES
from nerfkit.splats.ply_header import columns, read_header, said_up
from nerfkit.splats.stream import Splats, in_file, load, stream
from nerfkit.splats.upright import Up

__all__ = ["MAX_DEGREE", "open_file", "read", "said_up", "write"]

MAX_DEGREE = 3


def write(path: Path, gaussians: Gaussians | Splats, *, up: Up | None = None) -> int:
    """Writes Gaussians atomically, and gives their number; of a stream one block at a time is held.

    Args:
        up: what the file says of which axis is up.

    Raises:
        NerfkitError: the file cannot be written.
    """
    splats = stream(gaussians)
    names = _field_names((splats.degree + 1) ** 2)
    head, count = _header(names, splats, splats.most, up), 0
    with atomic(path) as partial, partial.open("w+b") as file:
        file.write(head)
        for block in splats.blocks():
            file.write(_table(block).data)
            count += len(block)
        if count < splats.most:
            _replace_head(file, len(head), _header(names, splats, count, up))
    return count


def open_file(path: Path) -> Splats:
    """Gaussians of a PLY, also of a compressed one; other properties are ignored, quaternions come as stored.

    Raises:
        NerfkitError: no splat PLY, or a truncated one.
    """
    header = read_header(path)
    if compressed_ply.fits(header):
        return compressed_ply.open_rows(path, header)
    if "vertex" not in header.elements:
        raise NerfkitError(f"{path}: is no PLY of Gaussian splats: it has no vertices")
    vertex = header.elements["vertex"]
    available = set(vertex.names)
    rest = sum(name.startswith("f_rest_") for name in available)
    missing = [name for name in _field_names(1 + rest // 3, normals=False) if name not in available]
    if vertex.dtype is not None and (missing or rest not in REST_DEGREES):
        lack = ", ".join(missing[:4]) if missing else f"9, 24 or 45 f_rest_* properties (it has {rest})"
        raise NerfkitError(f"{path}: is no PLY of Gaussian splats: it lacks {lack}")
    vertex.check(path)
    return in_file(
        path, REST_DEGREES[rest], vertex.count, lambda: (_decoded(t, rest) for t in vertex.rows(path)),
        antialiased.by_comments(header.comments),
    )  # fmt: skip


def read(path: Path) -> Gaussians:
    """Raises NerfkitError: no such file, no splat PLY, or a truncated one."""
    try:
        return load(open_file(path))
    except FileNotFoundError:
        raise NerfkitError(f"{path}: no such file") from None


def _header(names: list[str], splats: Splats, count: int, up: Up | None) -> bytes:
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    lines += [f"property float {name}" for name in names]
    lines += upright.comments(up) + antialiased.comments(splats.antialiased)
    return "\n".join([*lines, "end_header\n"]).encode("ascii")


def _replace_head(file: BinaryIO, length: int, head: bytes) -> None:
    """Puts a shorter head, or one as long, in the place of the first ``length`` bytes of a file."""
    read, written = length, len(head)
    while written < read:
        file.seek(read)
        data = file.read(1 << 22)
        if not data:
            break
        file.seek(written)
        file.write(data)
        read, written = read + len(data), written + len(data)
    if written < read:
        file.truncate(written)
    file.seek(0)
    file.write(head)


def _field_names(coefficients: int, *, normals: bool = True) -> list[str]:
    names = ["x", "y", "z"] + (["nx", "ny", "nz"] if normals else [])
    names += [f"f_dc_{i}" for i in range(3)]
    names += [f"f_rest_{i}" for i in range(3 * (coefficients - 1))]
    return names + ["opacity"] + [f"scale_{i}" for i in range(3)] + [f"rot_{i}" for i in range(4)]


def _table(gaussians: Gaussians) -> np.ndarray:
    """The file's rows: [N, 17 + 3 (K - 1)] float32, little endian."""
    n, k = gaussians.sh.shape[:2]
    columns = [
        gaussians.means,
        torch.zeros(n, 3),
        gaussians.sh[:, 0],
        gaussians.sh[:, 1:].transpose(1, 2).reshape(n, 3 * (k - 1)),
        values.logit_from_opacity(gaussians.opacities)[:, None],
        values.log_from_scale(gaussians.scales),
        torch.nn.functional.normalize(gaussians.quats.double(), dim=1),
    ]
    rows = torch.cat([column.detach().cpu().float() for column in columns], 1)
    return np.ascontiguousarray(rows.numpy().astype("<f4", copy=False))


def _decoded(table: np.ndarray, rest: int) -> Gaussians:
    sh = columns(table, ("f_dc_0", "f_dc_1", "f_dc_2"))[:, None]
    if rest:
        higher = columns(table, (f"f_rest_{i}" for i in range(rest))).reshape(-1, 3, rest // 3)
        sh = torch.cat([sh, higher.transpose(1, 2)], 1)
    return Gaussians(
        means=columns(table, ("x", "y", "z")),
        quats=columns(table, (f"rot_{i}" for i in range(4))),
        scales=values.scale_from_log(columns(table, ("scale_0", "scale_1", "scale_2"))),
        opacities=values.opacity_from_logit(columns(table, ("opacity",))[:, 0]),
        sh=sh,
    )
