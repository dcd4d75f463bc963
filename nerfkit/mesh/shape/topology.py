"""Who is whose neighbour in a mesh: edges, pairs of faces, borders, pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nerfkit.mesh.requirements import require


@dataclass(frozen=True)
class Edges:
    """The E edges of F faces. Half-edge ``3 f + k`` runs from corner ``k`` of face ``f`` to its next one."""

    ends: np.ndarray  # [E, 2] int64, the smaller vertex first
    of_half_edge: np.ndarray  # [3 F] int64
    faces: np.ndarray  # [E] int64, how many faces share the edge
    balance: np.ndarray  # [E] int64, half-edges along ``ends`` less those against it; 0 between two faces that agree

    @property
    def manifold(self) -> np.ndarray:
        """[E] bool: exactly two faces, which run along the edge in opposite directions."""
        inner: np.ndarray = (self.faces == 2) & (self.balance == 0)
        return inner


def half_edges(faces: np.ndarray) -> np.ndarray:
    """[3 F, 2]: from, to."""
    return np.stack([faces, np.roll(faces, -1, axis=1)], 2).reshape(-1, 2)


def edges(faces: np.ndarray) -> Edges:
    """The edges of faces [F, 3]."""
    half = half_edges(faces).astype(np.int64)
    low, high = np.minimum(*half.T), np.maximum(*half.T)
    size = np.int64(high.max(initial=0) + 1)
    keys, of_half_edge, count = np.unique(low * size + high, return_inverse=True, return_counts=True)
    of_half_edge = of_half_edge.reshape(-1)
    direction = np.where(half[:, 0] == low, 1, -1)
    balance = np.bincount(of_half_edge, direction, len(keys)).astype(np.int64)
    return Edges(np.stack([keys // size, keys % size], 1), of_half_edge, count, balance)


def face_pairs(found: Edges) -> np.ndarray:
    """The two half-edges of each manifold edge: [P, 2]; floor-divided by 3 they are the faces on its sides."""
    inner = np.flatnonzero(found.manifold[found.of_half_edge])
    order = inner[np.argsort(found.of_half_edge[inner], kind="stable")]
    return order.reshape(-1, 2)


def neighbors(faces: np.ndarray) -> np.ndarray:
    """The faces across a face's three edges: [F, 3] int64; a face is its own neighbour where there is none."""
    across = np.repeat(np.arange(len(faces)), 3)
    pairs = face_pairs(edges(faces))
    across[pairs[:, 0]], across[pairs[:, 1]] = pairs[:, 1] // 3, pairs[:, 0] // 3
    return across.reshape(-1, 3)


def components(faces: np.ndarray, vertices: int) -> np.ndarray:
    """The connected piece, joined at vertices, to which each face belongs: [F] int."""
    sparse, graph = require("scipy.sparse"), require("scipy.sparse.csgraph")
    a, b = faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel()
    links = sparse.coo_matrix((np.ones(len(a), bool), (a, b)), shape=(vertices, vertices))
    _, label = graph.connected_components(links, directed=False)
    of_face: np.ndarray = np.unique(label[faces[:, 0]], return_inverse=True)[1].reshape(-1)
    return of_face


def border_loops(faces: np.ndarray) -> list[np.ndarray]:
    """The vertices along each closed border, in the order in which the faces pass them.

    The mesh is a manifold (:func:`nerfkit.mesh.shape.manifold.make_manifold`): one border at most passes a vertex.
    """
    half = half_edges(faces)
    found = edges(faces)
    border = half[found.faces[found.of_half_edge] == 1]
    following = dict(zip(border[:, 0].tolist(), border[:, 1].tolist(), strict=True))
    loops = []
    while following:
        start, vertex = following.popitem()
        loop = [start]
        while vertex != start:
            loop.append(vertex)
            vertex = following.pop(vertex)
        loops.append(np.array(loop))
    return loops
