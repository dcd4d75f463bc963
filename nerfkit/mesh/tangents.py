"""The frames in which normal maps are read."""

from __future__ import annotations

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.geometry import vertex_normals


def vertex_tangents(mesh: Mesh) -> np.ndarray:
    """Tangents [V, 4] float32 of a mesh with uvs: unit x along u, across the vertex normal, and the sign of y.

    ``y = sign * cross(normal, x)`` runs along v. The mean of the faces around a vertex, each projected to the plane
    across the vertex normal and weighted by its angle there, as MikkTSpace has it (Mikkelsen, "Simulation of wrinkled
    surfaces revisited", 2008), which is the frame that engines compute where a file holds none. A vertex whose faces
    have no area in the texture gets any tangent.
    """
    assert mesh.uvs is not None
    normals = (vertex_normals(mesh) if mesh.normals is None else mesh.normals).astype(np.float64)
    p, uv = mesh.vertices.astype(np.float64)[mesh.faces], mesh.uvs.astype(np.float64)[mesh.faces]  # [F, 3, 3 | 2]
    e1, e2, d1, d2 = p[:, 1] - p[:, 0], p[:, 2] - p[:, 0], uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = d1[:, 0] * d2[:, 1] - d1[:, 1] * d2[:, 0]
    along_u = np.sign(area)[:, None] * (d2[:, 1:] * e1 - d1[:, 1:] * e2)
    total, handed = np.zeros_like(normals), np.zeros(len(normals))
    for corner in range(3):
        index = mesh.faces[:, corner]
        a, b = p[:, (corner + 1) % 3] - p[:, corner], p[:, (corner + 2) % 3] - p[:, corner]
        angle = np.arctan2(np.linalg.norm(np.cross(a, b), axis=1), (a * b).sum(1))
        flat = angle[:, None] * _unit(_across(along_u, normals[index]))
        for axis in range(3):
            total[:, axis] += np.bincount(index, flat[:, axis], len(normals))
        handed += np.bincount(index, angle * np.sign(area), len(normals))
    tangents = _unit(_across(total, normals))
    lost = ~tangents.any(1)
    tangents[lost] = _unit(_across(np.eye(3)[np.abs(normals[lost]).argmin(1)], normals[lost]))
    sign = np.where(handed < 0, -1.0, 1.0)
    return np.concatenate([tangents, sign[:, None]], 1).astype(np.float32)


def _across(x: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """The part of vectors [N, 3] in the planes across ``normals``."""
    across: np.ndarray = x - (x * normals).sum(1, keepdims=True) * normals
    return across


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.where(length > 1e-12, x / np.maximum(length, 1e-12), 0.0)
