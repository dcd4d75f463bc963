"""Takes away what is no surface: small pieces, slivers, duplicates, edges of more than two faces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from nerfkit.contracts import Mesh
from nerfkit.mesh.geometry import face_crosses, with_vertices
from nerfkit.mesh.options import Bounds
from nerfkit.mesh.shape.manifold import make_manifold
from nerfkit.mesh.shape.topology import components
from nerfkit.mesh.vectors import length

if TYPE_CHECKING:
    from nerfkit.data.similarity import Similarity

_THIN = 3.0  # a piece this much longer, in relation to the largest, than its area tells is a stem or a wire, and stays


def clean(mesh: Mesh, min_component: float = 0.02) -> Mesh:
    """Merges equal vertices, drops faces without area and small components, and cuts the rest to a manifold."""
    return make_manifold(largest_components(drop_degenerate(mesh), min_component))


def select_faces(mesh: Mesh, keep: np.ndarray) -> Mesh:
    """The mesh of the faces where ``keep`` [F] is true, without the vertices that nothing uses any more."""
    faces = mesh.faces[keep]
    used = np.zeros(len(mesh.vertices), bool)
    used[faces] = True
    renumbered = np.cumsum(used) - 1
    return with_vertices(mesh, used, renumbered[faces])


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


def pieces(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The connected piece to which each face belongs [F], and twice the area of each piece."""
    piece = components(mesh.faces, len(mesh.vertices))
    return piece, np.bincount(piece, length(face_crosses(mesh)))


def largest_components(mesh: Mesh, min_component: float) -> Mesh:
    """Keeps the connected pieces that have at least ``min_component`` times the area of the largest one.

    Area, not faces, counts: a dense speck is a speck. A long thin piece (the square of its extent against that of the
    largest is what counts) stays as well, such as a wire that stands alone; 1 keeps the largest piece only.
    """
    if not len(mesh.faces):
        return mesh
    piece, area = pieces(mesh)
    if min_component >= 1:
        return select_faces(mesh, piece == area.argmax())
    low, high = np.full((len(area), 3), np.inf), np.full((len(area), 3), -np.inf)
    for corner in range(3):
        np.minimum.at(low, piece, mesh.vertices[mesh.faces[:, corner]])
        np.maximum.at(high, piece, mesh.vertices[mesh.faces[:, corner]])
    extent = (high - low).max(1)
    reach = extent / max(float(extent[area.argmax()]), 1e-30)
    keep = (area >= min_component * area.max()) | (reach**2 >= _THIN * min_component)
    return select_faces(mesh, keep[piece])


def crop(mesh: Mesh, bounds: Bounds, world_from_mesh: Similarity | None = None) -> Mesh:
    """The faces whose corners all lie inside the box, which is in world units."""
    vertices = mesh.vertices.astype(np.float64)  # single precision has no centimetres far from a world's origin
    if world_from_mesh is not None:
        vertices = world_from_mesh.points(torch.from_numpy(vertices)).numpy()
    corners = vertices[mesh.faces]  # [F, 3, 3]
    inside = (corners >= bounds[:3]) & (corners <= bounds[3:])
    return select_faces(mesh, np.all(inside, axis=(1, 2)))
