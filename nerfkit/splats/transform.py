"""Moves Gaussians to another frame: places, shapes and view-dependent colours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from nerfkit.contracts import Gaussians
from nerfkit.core.reference import sh_basis
from nerfkit.splats.blocks import blocks

if TYPE_CHECKING:
    from nerfkit.data.similarity import Similarity


def transform(gaussians: Gaussians, b_from_a: Similarity) -> Gaussians:
    """The Gaussians as they look in frame b: seen from a camera moved along, every pixel stays the same.

    Args:
        gaussians: N Gaussians in frame a.
        b_from_a: the similarity; scales grow by its scale, coefficients turn with its rotation.
    """
    g, turn = gaussians, _quaternion(b_from_a.rotation)
    means, quats, sh = torch.empty_like(g.means), torch.empty_like(g.quats), torch.empty_like(g.sh)
    for rows in blocks(len(g)):  # what is computed in float64 is never there for all of them
        means[rows] = b_from_a.points(g.means[rows])
        quats[rows] = _quaternion_product(turn, g.quats[rows].double()).to(quats)
        sh[rows] = rotate_sh(g.sh[rows], b_from_a.rotation)
    return Gaussians(means, quats, g.scales * b_from_a.scale, g.opacities, sh, g.antialiased)


def rotate_sh(sh: Tensor, rotation: Tensor) -> Tensor:
    """Coefficients [N, K, 3] whose function at ``R d`` has the value that ``sh``'s has at ``d``; R is [3, 3].

    A rotation mixes the 2 l + 1 harmonics of a degree l among themselves (Wigner's matrices).
    """
    degree = math.isqrt(sh.shape[1]) - 1
    out = [sh[:, :1]]
    for level in range(1, degree + 1):
        band = slice(level * level, (level + 1) ** 2)
        matrix = _band_rotation(rotation.double(), level).to(sh)
        out.append(torch.einsum("ij,njc->nic", matrix, sh[:, band]))
    return torch.cat(out, 1)


def _band_rotation(rotation: Tensor, level: int) -> Tensor:
    """M [2 l + 1, 2 l + 1] with ``Y(R d) M = Y(d)``: solved from more directions d than unknowns, which is exact."""
    index = torch.arange(64, dtype=torch.float64)
    z = (2 * index + 1) / 64 - 1  # a spiral that covers the sphere evenly
    angle = index * math.pi * (3 - math.sqrt(5))
    ring = (1 - z * z).sqrt()
    d = torch.stack([ring * angle.cos(), ring * angle.sin(), z], 1)  # [64, 3]
    band = slice(level * level, (level + 1) ** 2)
    before, after = (
        sh_basis(d, level)[:, band],
        sh_basis(d @ rotation.T, level)[:, band],
    )
    solution: Tensor = torch.linalg.lstsq(after, before).solution
    return solution


def _quaternion(rotation: Tensor) -> Tensor:
    """w x y z of a rotation matrix."""
    return torch.from_numpy(Rotation.from_matrix(rotation.double().numpy()).as_quat())[[3, 0, 1, 2]]


def _quaternion_product(a: Tensor, b: Tensor) -> Tensor:
    """Hamilton's product of a [4] and b [N, 4]: the rotation b, then a."""
    w, x, y, z = a
    bw, bx, by, bz = b.unbind(1)
    return torch.stack(
        [
            w * bw - x * bx - y * by - z * bz,
            w * bx + x * bw + y * bz - z * by,
            w * by - x * bz + y * bw + z * bx,
            w * bz + x * by - y * bx + z * bw,
        ],
        1,
    )
