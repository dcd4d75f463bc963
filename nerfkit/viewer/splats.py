"""Gaussians as viser draws them: centres, covariances, and the colours that they have from where one looks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.contracts import Gaussians
from nerfkit.core.reference import colors_from, rotation_of
from nerfkit.splats.blocks import degree_of, select
from nerfkit.splats.coverage import coverage

_LARGEST = 3e4  # variance, within half precision's 65504
_MOST = 2.0**24  # how much the scene is enlarged at most
_OUTLIERS = 0.999  # share of Gaussians whose size matters for the enlargement
_FAINT = 1 / 255  # opacity below which no pixel changes


@dataclass(frozen=True, eq=False)
class Packed:
    """Arrays for viser's ``add_gaussian_splats``, enlarged by ``1 / scale``.

    viser keeps covariances in half precision, from 6e-8 to 65504. Splat files come in any unit, and in a small one or
    a large one Gaussians would vanish or overflow.
    """

    centers: NDArray[np.float32]  # [N, 3]
    covariances: NDArray[np.float32]  # [N, 3, 3]
    rgbs: NDArray[np.float32]  # [N, 3] in [0, 1]
    opacities: NDArray[np.float32]  # [N, 1]
    scale: float


@torch.no_grad()
def pack(gaussians: Gaussians, eye: Tensor, focal: float) -> Packed:
    """Gaussians with the colours that they have seen from ``eye`` [3], antialiased ones with the opacities, too.

    Such that can't be seen are left out.

    Args:
        focal: of the browser's camera, in its pixels.
    """
    if gaussians.antialiased:
        gaussians = replace(gaussians, opacities=gaussians.opacities * coverage(gaussians, eye, focal))
    keep = (gaussians.opacities >= _FAINT) & torch.isfinite(gaussians.means).all(1)
    if not bool(keep.all()):
        gaussians = select(gaussians, keep)
    enlarged = _enlargement(gaussians.scales)
    axes = rotation_of(gaussians.quats) * (gaussians.scales * enlarged)[:, None]  # [N, 3, 3] columns
    covariances = (axes @ axes.transpose(1, 2)).clamp(-2 * _LARGEST, 2 * _LARGEST)
    rgbs = colors_from(eye.to(gaussians.means), gaussians, degree_of(gaussians)).clamp(0, 1)
    return Packed(
        _array(gaussians.means * enlarged), _array(covariances), _array(rgbs), _array(gaussians.opacities[:, None]),
        1 / enlarged,
    )  # fmt: skip


def _enlargement(scales: Tensor) -> float:
    """A power of two by which nearly all Gaussians fill half precision's range."""
    if len(scales) == 0:
        return 1.0
    sizes = scales.amax(1)
    largest = float(sizes.kthvalue(max(1, int(len(sizes) * _OUTLIERS))).values)
    wanted = min(_MOST, math.sqrt(_LARGEST) / max(largest, 1e-12))
    return float(2 ** math.floor(math.log2(wanted)))


def _array(values: Tensor) -> NDArray[np.float32]:
    return values.float().cpu().numpy()
