"""Fewer faces for the same shape."""

from __future__ import annotations

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.requirements import require


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """Collapses edges to about ``faces`` faces (Garland and Heckbert 1997, by fast-simplification).

    Colours come from the nearest vertices of the original, weighted by the inverse of their distance.
    A mesh that is small enough, and ``faces = 0``, come back as they are.
    """
    if faces <= 0 or len(mesh.faces) <= faces:
        return mesh
    # quadrics in float32 lose digits far from the origin and at odd scales: work in the unit box
    center = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    scale = float(np.ptp(mesh.vertices, axis=0).max()) or 1.0
    unit = np.ascontiguousarray((mesh.vertices - center) / scale, np.float32)
    fast = require("fast_simplification")
    vertices, triangles = fast.simplify(unit, mesh.faces.astype(np.int32), target_count=faces)
    vertices = vertices.astype(np.float64)
    colors = None if mesh.colors is None else transfer_colors(unit, mesh.colors, vertices)
    placed = (vertices * scale + center).astype(mesh.vertices.dtype)
    return Mesh(placed, triangles.astype(np.int32), colors)


def transfer_colors(source: np.ndarray, colors: np.ndarray, target: np.ndarray, neighbors: int = 4) -> np.ndarray:
    """Colours [T, 3] at ``target`` [T, 3] from those [S, 3] at ``source`` [S, 3]."""
    tree = require("scipy.spatial").cKDTree(source)
    distance, index = tree.query(target, k=min(neighbors, len(source)))
    distance, index = distance.reshape(len(target), -1), index.reshape(len(target), -1)
    w = 1 / np.maximum(distance, 1e-9)
    blended = (colors[index].astype(np.float64) * w[..., None]).sum(1) / w.sum(1, keepdims=True)
    transferred: np.ndarray = blended.round().clip(0, 255).astype(np.uint8)
    return transferred
