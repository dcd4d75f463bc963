"""Cuts a mesh where it is no surface: edges of more than two faces, vertices at which surfaces only touch."""

from __future__ import annotations

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.geometry import face_crosses, with_vertices
from nerfkit.mesh.requirements import require
from nerfkit.mesh.shape.topology import edges, face_pairs, half_edges


def make_manifold(mesh: Mesh) -> Mesh:
    """The same faces, with vertices doubled so that every edge has one or two faces, and every vertex one fan of them.

    Where more than two faces meet at an edge, those that enclose a wedge of the solid between them stay together, so
    that a closed surface that touches itself stays closed; faces that turn against each other are cut apart (Guéziec
    et al., "Cutting and Stitching", TVCG 2001, section 4). Faces have three different corners
    (:func:`nerfkit.mesh.shape.clean.drop_degenerate`). A manifold comes back as it is.
    """
    found = edges(mesh.faces)
    pairs = np.concatenate([face_pairs(found), _solid_wedges(mesh, found.of_half_edge, found.faces > 2)])
    cut = _fans(mesh, pairs)
    while len(torn := _faces_at_bad_edges(cut)):  # held together at both ends in spite of the cut between them
        pairs = pairs[~np.isin(pairs // 3, torn).any(1)]
        cut = _fans(mesh, pairs)
    if cut.max(initial=-1) < len(mesh.vertices) and np.array_equal(cut, mesh.faces):
        return mesh
    origin = np.zeros(cut.max(initial=-1) + 1, np.int64)
    origin[cut.ravel()] = mesh.faces.ravel()
    return with_vertices(mesh, origin, cut)


def _fans(mesh: Mesh, pairs: np.ndarray) -> np.ndarray:
    """Faces [F, 3] with one vertex for each set of corners that joined half-edges [P, 2] hold together.

    The first set of a vertex keeps its number, where all vertices are used.
    """
    sparse, graph = require("scipy.sparse"), require("scipy.sparse.csgraph")
    corners = mesh.faces.size
    next_corner = pairs // 3 * 3 + (pairs % 3 + 1) % 3
    # half-edge a runs against half-edge b: a's first corner lies at b's second one
    a = np.concatenate([pairs[:, 0], next_corner[:, 0]])
    b = np.concatenate([next_corner[:, 1], pairs[:, 1]])
    links = sparse.coo_matrix((np.ones(len(a), bool), (a, b)), shape=(corners, corners))
    _, fan = graph.connected_components(links, directed=False)
    vertex = mesh.faces.ravel().astype(np.int64)
    _, first = np.unique(fan, return_index=True)  # a corner of each fan
    order = np.argsort(vertex[first], kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[fan].reshape(-1, 3)


def _faces_at_bad_edges(faces: np.ndarray) -> np.ndarray:
    found = edges(faces)
    bad = (found.faces > 2) | ((found.faces == 2) & (found.balance != 0))
    return np.unique(np.flatnonzero(bad[found.of_half_edge]) // 3)


def _solid_wedges(mesh: Mesh, of_half_edge: np.ndarray, crowded: np.ndarray) -> np.ndarray:
    """Half-edges [P, 2] of faces at crowded edges that have the solid, and no other face, between their backs."""
    half = np.flatnonzero(crowded[of_half_edge])
    if not len(half):
        return np.zeros((0, 2), np.int64)
    ends = half_edges(mesh.faces)[half]
    points = mesh.vertices.astype(np.float64)
    along = points[ends.max(1)] - points[ends.min(1)]
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-300)
    corner = half // 3 * 3 + (half % 3 + 2) % 3
    arm = points[mesh.faces.ravel()[corner]] - points[ends.min(1)]
    # a frame across each edge, the same for all its faces
    side = np.cross(along, np.eye(3)[np.abs(along).argmin(1)])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-300)
    angle = np.arctan2((arm * np.cross(along, side)).sum(1), (arm * side).sum(1))
    # seen along the edge, the solid lies counter-clockwise of a face whose normal points clockwise
    normal = face_crosses(mesh)[half // 3]
    counter = (normal * np.cross(along, arm)).sum(1) < 0
    order = np.lexsort([angle, of_half_edge[half]])
    edge = of_half_edge[half][order]
    start = np.flatnonzero(np.r_[True, edge[1:] != edge[:-1]])
    length = np.diff(np.r_[start, len(edge)])
    position = np.arange(len(edge)) - np.repeat(start, length)
    successor = np.repeat(start, length) + (position + 1) % np.repeat(length, length)
    opens, closes = counter[order], ~counter[order][successor]
    wedge = opens & closes
    return np.stack([half[order][wedge], half[order][successor[wedge]]], 1)
