"""Meshes of known shape."""

from __future__ import annotations

import numpy as np
import trimesh

from nerfkit.contracts import Mesh
from nerfkit.mesh.shape import clean


def made(body: trimesh.Trimesh) -> Mesh:
    vertices = np.asarray(body.vertices, np.float64)
    return Mesh(vertices, np.asarray(body.faces, np.int32), color(vertices))


def color(points: np.ndarray) -> np.ndarray:
    """Affine in the place, within 2 units of the origin."""
    return (points * 60 + 127).round().astype(np.uint8)


def sphere(subdivisions: int = 4, radius: float = 1.0) -> Mesh:
    return made(trimesh.creation.icosphere(subdivisions, radius))


def cube(cells: int = 24, side: float = 2.0) -> Mesh:
    """Around the origin, each side of ``cells`` x ``cells`` squares."""
    axis = np.linspace(-side / 2, side / 2, cells + 1)
    vertices, faces = [], []
    for normal in range(3):
        for sign in (-1, 1):
            grid = sheet_faces(cells)
            u, v = np.meshgrid(axis, axis, indexing="ij")
            points = np.zeros((u.size, 3))
            points[:, normal] = sign * side / 2
            points[:, (normal + 1) % 3], points[:, (normal + 2) % 3] = u.ravel(), v.ravel()
            faces.append((grid if sign > 0 else grid[:, ::-1]) + sum(map(len, vertices)))
            vertices.append(points)
    points = np.concatenate(vertices)
    return clean.drop_degenerate(Mesh(points, np.concatenate(faces), color(points)))


def sheet_faces(cells: int) -> np.ndarray:
    """Two triangles for each square of a grid of points, its first index the slower one; counter-clockwise."""
    n = cells + 1
    a = (np.arange(cells)[:, None] * n + np.arange(cells)).ravel()
    return np.concatenate([np.stack([a, a + n, a + n + 1], 1), np.stack([a, a + n + 1, a + 1], 1)])


def sheet(cells: int = 40, side: float = 4.0, height: float = 0.0) -> Mesh:
    """A square in the plane z = height around the z axis, facing up."""
    axis = np.linspace(-side / 2, side / 2, cells + 1)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), np.full(x.size, height)], 1)
    return Mesh(points, sheet_faces(cells).astype(np.int32), color(points))


def joined(*meshes: Mesh) -> Mesh:
    """Several meshes in one, not connected."""
    start = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + offset for mesh, offset in zip(meshes, start)]).astype(np.int32),
        np.concatenate([mesh.colors for mesh in meshes]),
    )
