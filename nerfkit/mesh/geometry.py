"""Small measures and maps of meshes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from nerfkit.contracts import Mesh

if TYPE_CHECKING:
    from nerfkit.data.similarity import Similarity


def face_crosses(mesh: Mesh) -> np.ndarray:
    """Normals of the faces times twice their areas: [F, 3] float64."""
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def vertex_normals(mesh: Mesh) -> np.ndarray:
    """Unit normals [V, 3] float32: the mean of the faces around a vertex by area; +z where there are none."""
    crosses = face_crosses(mesh)
    total = np.zeros((len(mesh.vertices), 3))
    for corner in range(3):
        for axis in range(3):
            total[:, axis] += np.bincount(mesh.faces[:, corner], crosses[:, axis], len(mesh.vertices))
    length = np.linalg.norm(total, axis=1, keepdims=True)
    unit = np.where(length > 0, total / np.maximum(length, 1e-300), [0.0, 0.0, 1.0])
    return unit.astype(np.float32)


def welded_normals(mesh: Mesh) -> np.ndarray:
    """As :func:`vertex_normals`, but the same for all vertices at one place, so that no seam shows: [V, 3] float32."""
    whole, number = welded(mesh)
    return vertex_normals(whole)[number]


def transformed(mesh: Mesh, b_from_a: Similarity) -> Mesh:
    """The mesh in another frame."""
    vertices = b_from_a.points(torch.from_numpy(mesh.vertices).double()).numpy().astype(np.float32)
    normals = None
    if mesh.normals is not None:
        normals = (mesh.normals @ b_from_a.rotation.numpy().T).astype(np.float32)
    return replace(mesh, vertices=vertices, normals=normals)


def with_vertices(mesh: Mesh, index: np.ndarray, faces: np.ndarray) -> Mesh:
    """Faces [F, 3] between vertices that are copies of the mesh's: those of ``index`` (numbers, or a mask), with all
    that belongs to them."""

    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[index]

    return Mesh(
        mesh.vertices[index],
        faces.astype(np.int32),
        pick(mesh.colors),
        pick(mesh.normals),
        pick(mesh.uvs),
        mesh.texture,
        mesh.normal_map,
    )


def is_watertight(mesh: Mesh) -> bool:
    """Whether every edge belongs to exactly two faces that run along it in opposite directions."""
    if not len(mesh.faces):
        return False
    n = np.int64(len(mesh.vertices))
    a = mesh.faces[:, [0, 1, 2]].astype(np.int64).ravel()
    b = mesh.faces[:, [1, 2, 0]].astype(np.int64).ravel()
    forward, backward = np.sort(a * n + b), np.sort(b * n + a)
    return bool((forward[1:] != forward[:-1]).all() and (forward == backward).all())


def bounds(mesh: Mesh) -> list[list[float]]:
    """Lower and upper corner."""
    return [mesh.vertices.min(0).tolist(), mesh.vertices.max(0).tolist()]


def places(mesh: Mesh) -> tuple[np.ndarray, int]:
    """Numbers of the places that vertices lie at, [V] int64, and how many there are: seams closed again."""
    keys = np.ascontiguousarray(mesh.vertices, np.float32)
    _, number = np.unique(keys, axis=0, return_inverse=True)
    number = number.reshape(-1)
    return number, int(number.max()) + 1 if len(number) else 0


def welded(mesh: Mesh) -> tuple[Mesh, np.ndarray]:
    """The bare shape, with one vertex at each place; and the numbers [V] of the places (:func:`places`)."""
    number, count = places(mesh)
    points = np.empty((count, 3), mesh.vertices.dtype)
    points[number] = mesh.vertices
    return Mesh(points, number[mesh.faces]), number
