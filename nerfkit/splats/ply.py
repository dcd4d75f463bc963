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

_NUMPY_TYPES = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "<i2", "int16": "<i2", "ushort": "<u2",
    "uint16": "<u2", "int": "<i4", "int32": "<i4", "uint": "<u4", "uint32": "<u4", "float": "<f4",
    "float32": "<f4", "double": "<f8", "float64": "<f8",
}  # fmt: skip
_REST_DEGREES = {0: 0, 9: 1, 24: 2, 45: 3}  # numbers of f_rest_* fields


def write(path: Path, gaussians: Gaussians) -> None:
    """Writes Gaussians atomically.

    Raises:
        NerfkitError: the file cannot be written.
    """
    table = _table(gaussians)
    names = _field_names(gaussians.sh.shape[1])
    header = [
        "ply",
        "format binary_little_endian 1.0",
        f"element vertex {len(gaussians)}",
    ]
    header += [f"property float {name}" for name in names] + ["end_header\n"]
    with atomic(path) as partial, partial.open("wb") as file:
        file.write("\n".join(header).encode("ascii"))
        file.write(table.data)


def read(path: Path) -> Gaussians:
    """Reads Gaussians; other vertex properties are ignored, quaternions come back as stored.

    Raises:
        NerfkitError: no such file, no splat PLY, or a truncated one.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise NerfkitError(f"{path}: no such file") from None
    vertices = _vertices(path, data)
    available = set(vertices.dtype.names or ())
    rest = sum(name.startswith("f_rest_") for name in available)
    wanted = _field_names(1 + rest // 3, normals=False)
    missing = [name for name in wanted if name not in available]
    if missing or rest not in _REST_DEGREES:
        lack = ", ".join(missing[:4]) if missing else f"9, 24 or 45 f_rest_* properties (it has {rest})"
        raise NerfkitError(f"{path}: is no PLY of Gaussian splats: it lacks {lack}")
    return _gaussians(vertices, rest)


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


def _vertices(path: Path, data: bytes) -> np.ndarray:
    end = data.find(b"end_header")
    newline = data.find(b"\n", end)
    if not data.startswith(b"ply") or end < 0 or newline < 0:
        raise NerfkitError(f"{path}: is no PLY file")
    lines = [line.split() for line in data[:end].decode("ascii", "replace").splitlines()]
    if ["format", "binary_little_endian", "1.0"] not in lines:
        raise NerfkitError(f"{path}: only binary little-endian PLY files can be read")
    elements = [line for line in lines if line[:1] == ["element"]]
    if not elements or elements[0][1] != "vertex":
        raise NerfkitError(f"{path}: is no PLY of Gaussian splats: its first element is no vertex")
    if len(elements[0]) != 3 or not elements[0][2].isdigit():
        raise NerfkitError(f"{path}: damaged header: it gives no number of vertices")
    count = int(elements[0][2])
    start = lines.index(elements[0]) + 1
    stop = lines.index(elements[1]) if len(elements) > 1 else len(lines)
    properties = [line for line in lines[start:stop] if line[:1] == ["property"]]
    if any(len(line) != 3 or line[1] not in _NUMPY_TYPES for line in properties):
        raise NerfkitError(f"{path}: is no PLY of Gaussian splats: its vertices have lists")
    dtype = np.dtype([(line[2], _NUMPY_TYPES[line[1]]) for line in properties])
    body = data[newline + 1 :]
    if len(body) < count * dtype.itemsize:
        raise NerfkitError(
            f"{path}: is truncated: {count} Gaussians need {count * dtype.itemsize} bytes, {len(body)} are there"
        )
    return np.frombuffer(body, dtype, count)


def _gaussians(vertices: np.ndarray, rest: int) -> Gaussians:
    def columns(*names: str) -> Tensor:
        stacked = np.stack([vertices[name].astype(np.float32) for name in names], 1)
        return torch.from_numpy(stacked)

    n = len(vertices)
    sh = columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None]  # [N, 1, 3]
    if rest:
        higher = columns(*(f"f_rest_{i}" for i in range(rest))).reshape(n, 3, rest // 3)
        sh = torch.cat([sh, higher.transpose(1, 2)], 1)
    return Gaussians(
        means=columns("x", "y", "z"),
        quats=columns(*(f"rot_{i}" for i in range(4))),
        scales=values.scale_from_log(columns(*(f"scale_{i}" for i in range(3)))),
        opacities=values.opacity_from_logit(columns("opacity")[:, 0]),
        sh=sh.contiguous(),
    )
