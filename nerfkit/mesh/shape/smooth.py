"""Takes the noise off a surface and keeps its edges and its volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.requirements import require
from nerfkit.mesh.shape.topology import neighbors

_NORMAL_STEPS = 160  # at full strength: normals are averaged over about twice its root, in faces
_VERTEX_STEPS = 40
_EDGE = 0.25  # difference of two unit normals (14 degrees) from which an edge is thought to lie between them
_GUIDE_STEPS = 3
_ROUNDS = 3  # each with the normals of the one before as its guide: edges get clearer


def smooth(mesh: Mesh, strength: float = 0.5) -> Mesh:
    """Moves vertices so that the faces follow normals that are smoothed, but not across edges.

    Normals first: a bilateral filter over the faces (Zheng et al., "Bilateral Normal Filtering for Mesh Denoising",
    TVCG 2011, eq. 4-6, the local scheme over the faces across the edges), with the weights between two faces taken
    from normals that are averaged already (as in Zhang et al., "Guided Mesh Normal Filtering", 2015), because those of
    a noisy surface tell little about its edges. Then the vertices are moved along the normals until the faces have
    them (Sun et al., "Fast and Effective Feature-Preserving Mesh Denoising", TVCG 2007, eq. 11), which does not shrink
    what is round: where normals are right already, nothing moves.

    Args:
        mesh: a manifold; colours stay with the vertices, normals are dropped.
        strength: 0 (nothing changes) to 1.
    """
    steps = round(_NORMAL_STEPS * strength)
    if not steps or not len(mesh.faces):
        return mesh
    center = mesh.vertices.mean(0, dtype=np.float64)
    points = (mesh.vertices - center).astype(np.float32)  # which keeps its digits near the origin
    target = _filtered_normals(points, mesh.faces, steps)
    points = _follow(points, mesh.faces, target, _VERTEX_STEPS)
    return replace(mesh, vertices=(points + center).astype(mesh.vertices.dtype), normals=None)


def _filtered_normals(points: np.ndarray, faces: np.ndarray, steps: int) -> np.ndarray:
    """Unit normals [F, 3] of the faces, smoothed within the parts between edges."""
    sparse = require("scipy.sparse")
    across = neighbors(faces)
    crosses = _crosses(points, faces)
    area = np.linalg.norm(crosses, axis=1)
    normals = crosses / np.maximum(area, 1e-30)[:, None]
    rows = np.repeat(np.arange(len(faces)), 4)
    columns = np.concatenate([across, np.arange(len(faces))[:, None]], 1).ravel()

    def average(weights: np.ndarray) -> object:  # [F, 4], of the neighbours and the face itself
        weights = weights / np.maximum(weights.sum(1, keepdims=True), 1e-30)
        return sparse.csr_matrix((weights.ravel(), (rows, columns)), shape=(len(faces),) * 2, dtype=np.float32)

    area = area / max(float(area.mean()), 1e-30)
    plain = np.concatenate([area[across], area[:, None]], 1)
    guide, blend = normals, average(plain)
    for _ in range(_GUIDE_STEPS):
        guide = _unit(blend @ guide)
    for number in range(_ROUNDS):
        difference = np.linalg.norm(guide[across] - guide[:, None], axis=2)  # [F, 3]
        similar = np.exp(-0.5 * (difference / _edge_size(difference)) ** 2)
        blend = average(plain * np.concatenate([similar, np.ones((len(faces), 1), np.float32)], 1))
        for _ in range(steps * (number + 1) // _ROUNDS - steps * number // _ROUNDS):
            normals = _unit(blend @ normals)
        guide = normals
    return normals


def _edge_size(difference: np.ndarray) -> float:
    """Where an edge begins: above what noise, of which most of the surface consists, makes."""
    return max(_EDGE, 2 * float(np.median(difference)))


def _follow(points: np.ndarray, faces: np.ndarray, normals: np.ndarray, steps: int) -> np.ndarray:
    """Vertices [V, 3] moved until the faces have the normals [F, 3]."""
    sparse = require("scipy.sparse")
    corners = faces.ravel()
    count = np.maximum(np.bincount(corners, minlength=len(points)), 1).astype(np.float32)
    gather = sparse.csr_matrix(
        (np.ones(len(corners), np.float32), (corners, np.repeat(np.arange(len(faces)), 3))),
        shape=(len(points), len(faces)),
    )
    gather = sparse.diags(1 / count) @ gather
    for _ in range(steps):
        # sum of n (n . (c - v)) over a vertex's faces: the part with v needs the faces' n n^T
        middle = points[faces].mean(1)
        height = (normals * middle).sum(1)
        pull = gather @ (normals * height[:, None])
        outer = gather @ (normals[:, [0, 0, 0, 1, 1, 2]] * normals[:, [0, 1, 2, 1, 2, 2]])
        x, y, z = points.T
        pull -= np.stack(
            [
                outer[:, 0] * x + outer[:, 1] * y + outer[:, 2] * z,
                outer[:, 1] * x + outer[:, 3] * y + outer[:, 4] * z,
                outer[:, 2] * x + outer[:, 4] * y + outer[:, 5] * z,
            ],
            1,
        )
        points = points + pull
    return points


def _crosses(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    return np.cross(b - a, c - a)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
