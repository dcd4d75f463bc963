"""The ``.splat`` files of antimatter15's viewer: 32 bytes a Gaussian, without header and view-dependent colours.

``x y z`` and the three scales as floats, red, green, blue and opacity as bytes, the quaternion (w x y z) as bytes
``128 q + 128``. Source: https://github.com/antimatter15/splat.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats.blocks import Filling, blocks, select
from nerfkit.splats.ply_header import read_rows

MAX_DEGREE = 0
_ROW = np.dtype([("means", "<f4", 3), ("scales", "<f4", 3), ("rgba", "u1", 4), ("quats", "u1", 4)])


def read(path: Path) -> Gaussians:
    """Raises NerfkitError: an empty file, or one whose size no whole number of Gaussians has."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0 or size % _ROW.itemsize:
            raise NerfkitError(f"{path}: is no .splat file, or truncated: its {size:,} bytes are no multiple of 32")
        out = Filling(size // _ROW.itemsize, 0)
        for rows in blocks(out.count):
            table = read_rows(file, _ROW, rows.stop - rows.start)
            rgba = torch.from_numpy(table["rgba"].astype(np.float32)) / 255
            out.means[rows] = torch.from_numpy(table["means"].astype(np.float32))
            out.scales[rows] = torch.from_numpy(table["scales"].astype(np.float32))
            out.quats[rows] = (torch.from_numpy(table["quats"].astype(np.float32)) - 128) / 128
            out.opacities[rows] = rgba[:, 3]
            out.sh[rows, 0] = values.dc_from_rgb(rgba[:, :3])
    return out.finish(path)


def write(path: Path, gaussians: Gaussians) -> None:
    """Writes Gaussians atomically, the most visible first: viewers show the beginning of a file while they load it.

    Raises:
        NerfkitError: the file cannot be written.
    """
    order = (gaussians.scales.double().prod(1) * gaussians.opacities).argsort(descending=True, stable=True)
    with atomic(path) as partial, partial.open("wb") as file:
        for rows in blocks(len(gaussians)):
            file.write(_table(select(gaussians, order[rows])).data)


def _table(gaussians: Gaussians) -> np.ndarray:
    table = np.empty(len(gaussians), _ROW)
    rgb = values.rgb_from_dc(gaussians.sh[:, 0])
    rgba = torch.cat([rgb, gaussians.opacities[:, None]], 1)
    unit = torch.nn.functional.normalize(gaussians.quats.double(), dim=1)
    table["means"], table["scales"] = gaussians.means.numpy(), gaussians.scales.numpy()
    table["rgba"] = (rgba * 255).round().clamp(0, 255).byte().numpy()
    table["quats"] = (unit * 128 + 128).round().clamp(0, 255).byte().numpy()
    return table
