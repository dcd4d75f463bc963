"""Fewer faces for the same shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.shape.clean import drop_degenerate
from nerfkit.mesh.geometry import face_crosses
from nerfkit.mesh.shape.manifold import make_manifold
from nerfkit.mesh.requirements import require
from nerfkit.mesh.shape.topology import edges, neighbors

_PATIENCE = (3, 5, 7)  # fast-simplification's "aggressiveness": the lowest gives the best shape, but may stop early
_SLACK = 1.05  # times the faces asked for are few enough to stop at
_RATIO = 4  # from one level of detail to the next
_FEWEST = 64  # faces of a level that is worth having
_TURNED = -0.5  # cosine between a face and each of its neighbours: it is folded over


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """Collapses edges to about ``faces`` faces (Garland and Heckbert 1997, by fast-simplification).

    The result is a manifold without folds. Colours come from the nearest vertices of the original,
    weighted by the inverse of their distance. A mesh that is small enough, and ``faces = 0``, come back as they are.
    """
    if faces <= 0 or len(mesh.faces) <= faces:
        return mesh
    # quadrics in float32 lose digits far from the origin and at odd scales: work in the unit box
    center = (mesh.vertices.min(0) + mesh.vertices.max(0)) / 2
    scale = float(np.ptp(mesh.vertices, axis=0).max()) or 1.0
    unit = np.ascontiguousarray((mesh.vertices - center) / scale, np.float32)
    fast = require("fast_simplification")
    vertices, triangles = unit, np.ascontiguousarray(mesh.faces, np.int32)
    for aggression in _PATIENCE:
        vertices, triangles = fast.simplify(vertices, triangles, target_count=faces, agg=aggression)
        if len(triangles) <= _SLACK * faces:
            break
    rough = Mesh(vertices.astype(np.float64), triangles.astype(np.int32))
    small = make_manifold(_without_folds(make_manifold(drop_degenerate(rough))))
    colors = None if mesh.colors is None else transfer_colors(unit, mesh.colors, small.vertices)
    placed = (small.vertices * scale + center).astype(mesh.vertices.dtype)
    return Mesh(placed, small.faces, colors)


def levels(mesh: Mesh, faces: int, count: int) -> list[Mesh]:
    """``count`` levels of detail: the first of about ``faces`` faces (all, if 0), each next with a quarter of them.

    All are simplified from ``mesh``, so that errors don't add up, with its colours. There are fewer where a level
    would have next to no faces or where simplifying cannot take more away.
    """
    made = [simplify(mesh, faces)]
    for _ in range(1, count):
        target = len(made[-1].faces) // _RATIO
        if target < _FEWEST:
            break
        level = simplify(mesh, target)
        if len(level.faces) > len(made[-1].faces) // 2:
            break
        made.append(level)
    return made


def transfer_colors(source: np.ndarray, colors: np.ndarray, target: np.ndarray, neighbors: int = 4) -> np.ndarray:
    """Colours [T, 3] at ``target`` [T, 3] from those [S, 3] at ``source`` [S, 3]."""
    tree = require("scipy.spatial").cKDTree(source)
    distance, index = tree.query(target, k=min(neighbors, len(source)))
    distance, index = distance.reshape(len(target), -1), index.reshape(len(target), -1)
    w = 1 / np.maximum(distance, 1e-9)
    blended = (colors[index].astype(np.float64) * w[..., None]).sum(1) / w.sum(1, keepdims=True)
    transferred: np.ndarray = blended.round().clip(0, 255).astype(np.uint8)
    return transferred


def _without_folds(mesh: Mesh) -> Mesh:
    """Vertices pulled to the middle of their neighbours where a face is folded against all that surround it."""
    for _ in range(4):
        crosses = face_crosses(mesh)
        normals = crosses / np.maximum(np.linalg.norm(crosses, axis=1, keepdims=True), 1e-300)
        across = neighbors(mesh.faces)
        cosine = (normals[across] * normals[:, None]).sum(2)
        alone = across == np.arange(len(mesh.faces))[:, None]
        folded = ((cosine < _TURNED) | alone).all(1) & ~alone.all(1)
        if not folded.any():
            break
        found = edges(mesh.faces)
        total = np.zeros_like(mesh.vertices)
        for end in range(2):
            np.add.at(total, found.ends[:, end], mesh.vertices[found.ends[:, 1 - end]])
        degree = np.bincount(found.ends.ravel(), minlength=len(mesh.vertices))
        touched = np.unique(mesh.faces[folded])
        vertices = mesh.vertices.copy()
        vertices[touched] = total[touched] / degree[touched, None]
        mesh = replace(mesh, vertices=vertices)
    return mesh
