"""Colours on both sides of the borders of charts made equal.

After Lempitsky and Ivanov, "Seamless Mosaicing of Image-Based Texture Maps", CVPR 2007, section 5, and Waechter et al.,
"Let There Be Color!", ECCV 2014, section 4.1: a correction at every vertex, as smooth within charts as the differences
along their borders allow.
"""

from __future__ import annotations

import numpy as np
import torch

from nerfkit.contracts import Mesh
from nerfkit.mesh.geometry import places
from nerfkit.mesh.requirements import require
from nerfkit.mesh.sample import bilinear, planes_of, texel_coordinates
from nerfkit.mesh.solver import solve
from nerfkit.mesh.texture.texels import Texels

_ROBUST = 12.0  # of 255: larger differences are no exposure but detail, or a chart folded onto a line
_POINTS = 5  # along each edge
_SMOOTH = 2.0  # weight of differences between neighbours, against those across seams
_STAY = 0.1  # weight of the correction itself


def seam_edges(mesh: Mesh) -> np.ndarray:
    """Edges that lie in two charts: [E, 2, 2] int64 vertices, of each side the two ends, in one order of places."""
    place, count = places(mesh)
    edge = np.stack([mesh.faces[:, [0, 1, 2]].ravel(), mesh.faces[:, [1, 2, 0]].ravel()], 1).astype(np.int64)
    at = place[edge]
    edge = np.where((at[:, :1] > at[:, 1:]), edge[:, ::-1], edge)
    key = at.min(1) * count + at.max(1)
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero((key[order][1:] == key[order][:-1]) & (at[order][1:, 0] != at[order][1:, 1]))
    first, second = edge[order[same]], edge[order[same + 1]]
    differ = (first != second).any(1)
    return np.stack([first[differ], second[differ]], 1)


def seam_differences(mesh: Mesh, texture: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """First side's colour minus the second's at points along seams, [E, POINTS, 3] float32, looked up bilinearly.

    Args:
        mesh: with ``uvs``.
        texture: [S, S, 3], uint8 or float32 0..255.
        edges: [E, 2, 2] from :func:`seam_edges`.
    """
    assert mesh.uvs is not None
    planes = planes_of(texture)
    along = _along()[:, None]
    color = []
    for side in range(2):
        ends = texel_coordinates(mesh.uvs[edges[:, side]].astype(np.float64), texture.shape[1], texture.shape[0])
        points = ends[:, None, 0] * (1 - along) + ends[:, None, 1] * along  # [E, POINTS, 2]
        color.append(bilinear(planes, torch.from_numpy(points.reshape(-1, 2)).float()).numpy())
    difference: np.ndarray = (color[0] - color[1]).reshape(len(edges), _POINTS, 3)
    return difference


def level_seams(mesh: Mesh, texels: Texels, colors: np.ndarray) -> np.ndarray:
    """Colours [T, 3] float32 with a smooth correction that takes away what differs across the borders of charts.

    The correction g, at every vertex, is the least of ``sum over points on seams of t (g_a + d - g_b)^2``, d the
    difference there and t the trust in it, ``+ SMOOTH sum over edges of (g_i - g_j)^2 + STAY sum of g_i^2``.
    """
    sparse = require("scipy.sparse")
    edges = seam_edges(mesh)
    if not len(edges):
        return colors
    difference = seam_differences(mesh, texels.image(colors), edges)  # [E, POINTS, 3]
    count = len(mesh.vertices)
    share = _along()
    rows = np.arange(len(edges) * _POINTS)
    columns, entries = [], []
    for side, sign in ((0, 1.0), (1, -1.0)):
        for end, part in ((0, 1 - share), (1, share)):
            columns.append(np.repeat(edges[:, side, end], _POINTS))
            entries.append(np.tile(sign * part, len(edges)))
    across = sparse.csr_matrix(
        (np.concatenate(entries), (np.tile(rows, 4), np.concatenate(columns))), shape=(len(rows), count)
    )
    a, b = mesh.faces[:, [0, 1, 2]].ravel(), mesh.faces[:, [1, 2, 0]].ravel()
    graph = sparse.coo_matrix((np.ones(len(a)), (a, b)), shape=(count, count))
    graph = (graph + graph.T).tocsr()
    laplacian = sparse.diags(np.asarray(graph.sum(1)).ravel()) - graph
    trust = 1 / (1 + (np.abs(difference).mean(2).ravel() / _ROBUST) ** 2)
    weighted = across.T @ sparse.diags(trust)
    system = weighted @ across + _SMOOTH * laplacian + _STAY * sparse.identity(count)
    right = -(weighted @ difference.reshape(-1, 3).astype(np.float64))
    correction = solve(system, right)  # [V, 3]
    return np.clip(colors + texels.interpolate(mesh, correction), 0, 255).astype(np.float32)


def _along() -> np.ndarray:
    middle: np.ndarray = (np.arange(_POINTS) + 0.5) / _POINTS
    return middle
