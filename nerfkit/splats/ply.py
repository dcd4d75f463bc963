"""The PLY layout of Kerbl et al. 2023, which every splat tool reads.

One vertex a Gaussian, little-endian floats: ``x y z``, ``nx ny nz`` (zero), ``f_dc_0..2``, ``f_rest_*`` (all of red,
then green, then blue), ``opacity`` (logit), ``scale_0..2`` (log), ``rot_0..3`` (w x y z, unit).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats import compressed_ply
from nerfkit.splats.blocks import Filling, blocks, select
from nerfkit.splats.ply_header import read_header, read_rows, seek_rows

MAX_DEGREE = 3
_REST_DEGREES = {0: 0, 9: 1, 24: 2, 45: 3}  # numbers of f_rest_* fields


def write(path: Path, gaussians: Gaussians) -> None:
    """Writes Gaussians atomically.

    Raises:
        NerfkitError: the file cannot be written.
    """
    names = _field_names(gaussians.sh.shape[1])
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(gaussians)}"]
    header += [f"property float {name}" for name in names] + ["end_header\n"]
    with atomic(path) as partial, partial.open("wb") as file:
        file.write("\n".join(header).encode("ascii"))
        for rows in blocks(len(gaussians)):
            file.write(_table(select(gaussians, rows)).data)


def read(path: Path) -> Gaussians:
    """Reads Gaussians, also from a compressed PLY; other properties are ignored, quaternions come back as stored.

    Raises:
        NerfkitError: no such file, no splat PLY, or a truncated one.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise NerfkitError(f"{path}: no such file") from None
    with file:
        elements = read_header(path, file)
        if compressed_ply.fits(elements):
            return compressed_ply.read_elements(path, file, elements)
        if "vertex" not in elements:
            raise NerfkitError(f"{path}: is no PLY of Gaussian splats: it has no vertices")
        vertex = elements["vertex"]
        available = set(vertex.names)
        rest = sum(name.startswith("f_rest_") for name in available)
        missing = [name for name in _field_names(1 + rest // 3, normals=False) if name not in available]
        if vertex.dtype is not None and (missing or rest not in _REST_DEGREES):
            lack = ", ".join(missing[:4]) if missing else f"9, 24 or 45 f_rest_* properties (it has {rest})"
            raise NerfkitError(f"{path}: is no PLY of Gaussian splats: it lacks {lack}")
        dtype = seek_rows(path, file, vertex)
        out = Filling(vertex.count, _REST_DEGREES[rest])
        for rows in blocks(vertex.count):
            _fill(out, rows, read_rows(file, dtype, rows.stop - rows.start), rest)
    return out.finish(path)


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


def _fill(out: Filling, rows: slice, table: np.ndarray, rest: int) -> None:
    def columns(*names: str) -> Tensor:
        return torch.from_numpy(np.stack([table[name].astype(np.float32) for name in names], 1))

    out.means[rows] = columns("x", "y", "z")
    out.quats[rows] = columns(*(f"rot_{i}" for i in range(4)))
    out.scales[rows] = values.scale_from_log(columns("scale_0", "scale_1", "scale_2"))
    out.opacities[rows] = values.opacity_from_logit(columns("opacity")[:, 0])
    out.sh[rows, 0] = columns("f_dc_0", "f_dc_1", "f_dc_2")
    if rest:
        higher = columns(*(f"f_rest_{i}" for i in range(rest))).reshape(-1, 3, rest // 3)
        out.sh[rows, 1:] = higher.transpose(1, 2)
