"""The ``.splat`` files of antimatter15's viewer: 32 bytes a Gaussian, without header and view-dependent colours.

``x y z`` and the three scales as floats, red, green, blue and opacity as bytes, the quaternion (w x y z) as bytes
``128 q + 128``. Source: https://github.com/antimatter15/splat.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats.blocks import blocks
from nerfkit.splats.order import ranks
from nerfkit.splats.ply_header import read_rows
from nerfkit.splats.stream import Splats, gather, in_file, numbered, stream

MAX_DEGREE = 0
_ROW = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quats", "u1", 4)])


def open_file(path: Path) -> Splats:
    """Raises NerfkitError: an empty file, or one whose size no whole number of Gaussians has."""
    size = path.stat().st_size
    if size == 0:
        raise NerfkitError(f"{path}: an empty file; write or load it again")
    if size % _ROW.itemsize:
        raise NerfkitError(f"{path}: is no .splat file, or truncated: its {size:,} bytes are no multiple of 32")
    count = size // _ROW.itemsize
    return in_file(path, 0, count, lambda: _decoded(path, count))


def _decoded(path: Path, count: int) -> Iterator[Gaussians]:
    with path.open("rb") as file:
        for rows in blocks(count):
            table = read_rows(path, file, _ROW, rows.stop - rows.start)
            rgba = torch.from_numpy(table["rgba"].astype(np.float32)) / 255
            yield Gaussians(
                means=torch.from_numpy(table["means"].astype(np.float32)),
                quats=(torch.from_numpy(table["quats"].astype(np.float32)) - 128) / 128,
                scales=torch.from_numpy(table["scales"].astype(np.float32)),
                opacities=rgba[:, 3],
                sh=values.dc_from_rgb(rgba[:, None, :3]),
            )


def write(path: Path, gaussians: Gaussians | Splats) -> int:
    """Writes Gaussians atomically, the most visible first: viewers show the beginning of a file while they load it.

    Returns:
        how many they are. Of a stream no more is held than the file has, and what puts it into order.

    Raises:
        NerfkitError: the file cannot be written.
    """
    splats = stream(gaussians)
    seen = gather(splats, lambda g: (g.scales.double().prod(1) * g.opacities).float())
    places = ranks(seen.argsort(descending=True, stable=True)).numpy()
    del seen
    table = np.empty(len(places), _ROW)
    for rows, block in numbered(splats):
        table[places[rows]] = _table(block)
    with atomic(path) as partial, partial.open("wb") as file:
        file.write(table.data)
    return len(table)


def _table(gaussians: Gaussians) -> np.ndarray:
    table = np.empty(len(gaussians), _ROW)
    rgb = values.rgb_from_dc(gaussians.sh[:, 0])
    rgba = torch.cat([rgb, gaussians.opacities[:, None]], 1)
    unit = torch.nn.functional.normalize(gaussians.quats.double(), dim=1)
    table["means"], table["scales"] = gaussians.means.numpy(), gaussians.scales.numpy()
    table["rgba"] = (rgba * 255).round().clamp(0, 255).byte().numpy()
    table["quats"] = (unit * 128 + 128).round().clamp(0, 255).byte().numpy()
    return table
