"""The tangent frames in which engines read normal maps."""

from __future__ import annotations

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.geometry import vertex_normals


def tangents(mesh: Mesh) -> np.ndarray:
    """Tangents [V, 4] float32 of a mesh with ``uvs``, as glTF's TANGENT: unit, along u, square to the normal; and w.

    The bitangent is ``w * cross(normal, tangent)`` and runs along v (upwards in the texture). As MikkTSpace makes them
    (Mikkelsen, "Simulation of Wrinkled Surfaces Revisited", 2008, section 2.4): each face's direction of u, in the
    plane of the vertex, weighted by the face's angle there; so engines that make tangents themselves get the same
    where all faces at a vertex turn the same way in the texture.
    """
    assert mesh.uvs is not None
    normals = (vertex_normals(mesh) if mesh.normals is None else mesh.normals).astype(np.float64)
    points, uvs = mesh.vertices.astype(np.float64)[mesh.faces], mesh.uvs.astype(np.float64)[mesh.faces]
    p1, p2 = points[:, 1] - points[:, 0], points[:, 2] - points[:, 0]
    t1, t2 = uvs[:, 1] - uvs[:, 0], uvs[:, 2] - uvs[:, 0]
    twice_area = t1[:, 0] * t2[:, 1] - t1[:, 1] * t2[:, 0]
    sign = np.where(twice_area < 0, -1.0, 1.0)
    along = (p1 * t2[:, 1:] - p2 * t1[:, 1:]) * sign[:, None]
    along[twice_area == 0] = 0
    total, turns = np.zeros((len(normals), 3)), np.zeros(len(normals))
    for corner in range(3):
        vertex = mesh.faces[:, corner]
        to_next = _unit(_in_plane(points[:, (corner + 1) % 3] - points[:, corner], normals[vertex]))
        to_last = _unit(_in_plane(points[:, (corner + 2) % 3] - points[:, corner], normals[vertex]))
        angle = np.arccos(np.clip((to_next * to_last).sum(1), -1, 1))
        share = _unit(_in_plane(along, normals[vertex])) * angle[:, None]
        for axis in range(3):
            total[:, axis] += np.bincount(vertex, share[:, axis], len(normals))
        turns += np.bincount(vertex, sign * angle, len(normals))
    tangent = _unit(_in_plane(total, normals))
    lost = (tangent == 0).all(1)  # faces without area in the texture: any direction in the plane
    tangent[lost] = _unit(np.cross(normals[lost], np.eye(3)[np.abs(normals[lost]).argmin(1)]))
    return np.concatenate([tangent, np.where(turns < 0, -1.0, 1.0)[:, None]], 1).astype(np.float32)


def _in_plane(vectors: np.ndarray, normals: np.ndarray) -> np.ndarray:
    flat: np.ndarray = vectors - normals * (vectors * normals).sum(1, keepdims=True)
    return flat


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 1e-30, vectors / np.maximum(length, 1e-30), 0)
