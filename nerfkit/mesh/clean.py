"""Takes away what is no surface: small pieces, slivers, duplicates."""

from __future__ import annotations

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.options import Bounds
from nerfkit.mesh.requirements import require


def clean(mesh: Mesh, min_component: float = 0.02) -> Mesh:
    """Merges equal vertices, drops faces without area and small components."""
    return largest_components(drop_degenerate(mesh), min_component)


def select_faces(mesh: Mesh, keep: np.ndarray) -> Mesh:
    """The mesh of the faces where ``keep`` [F] is true, without the vertices that nothing uses any more."""
    faces = mesh.faces[keep]
    used = np.zeros(len(mesh.vertices), bool)
    used[faces] = True
    renumbered = np.cumsum(used) - 1

    def pick(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else values[used]

    return Mesh(
        mesh.vertices[used],
        renumbered[faces].astype(np.int32),
        pick(mesh.colors),
        pick(mesh.normals),
        pick(mesh.uvs),
        mesh.texture,
    )


def drop_degenerate(mesh: Mesh) -> Mesh:
    """Joins vertices at one place (marching cubes leaves some), then drops faces with fewer than 3 and duplicates.

    Joining, rather than deleting thin faces, keeps a closed surface closed.
    """
    extent = float(np.ptp(mesh.vertices, axis=0).max()) if len(mesh.vertices) else 0.0
    keys = np.round(mesh.vertices / max(extent * 1e-7, 1e-30)).astype(np.int64)
    _, first, joined = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    faces = first[joined.reshape(-1)][mesh.faces]
    keep = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    _, original = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    only = np.zeros(len(faces), bool)
    only[original] = True
    merged = Mesh(mesh.vertices, faces, mesh.colors, mesh.normals, mesh.uvs, mesh.texture)
    return select_faces(merged, keep & only)


def largest_components(mesh: Mesh, min_component: float) -> Mesh:
    """Keeps the connected pieces that have at least ``min_component`` times the faces of the largest one."""
    if not len(mesh.faces):
        return mesh
    sparse, graph = require("scipy.sparse"), require("scipy.sparse.csgraph")
    a, b = mesh.faces[:, [0, 1]].ravel(), mesh.faces[:, [1, 2]].ravel()
    edges = sparse.coo_matrix((np.ones(len(a), bool), (a, b)), shape=(len(mesh.vertices),) * 2)
    _, label = graph.connected_components(edges, directed=False)
    of_face = label[mesh.faces[:, 0]]
    sizes = np.bincount(of_face)
    smallest = max(1.0, min_component * float(sizes.max()))
    large = np.flatnonzero(sizes >= smallest)
    return select_faces(mesh, np.isin(of_face, large))


def crop(mesh: Mesh, bounds: Bounds) -> Mesh:
    """The faces whose corners all lie inside the box."""
    corners = mesh.vertices[mesh.faces]  # [F, 3, 3]
    inside = (corners >= bounds[:3]) & (corners <= bounds[3:])
    return select_faces(mesh, np.all(inside, axis=(1, 2)))
