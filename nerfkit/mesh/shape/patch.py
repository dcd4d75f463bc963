"""New faces in a hole made as fine as those around them (refine), and bent as the surface around them (fair)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.requirements import require
from nerfkit.mesh.shape.topology import edges, face_pairs, half_edges
from nerfkit.mesh.solver import solve
from nerfkit.mesh.vectors import dot, length

_PASSES = 24
_FLIPS = 3  # after each pass of splits
_LONG = 4 / 3  # edges longer than this times the aim are split (Botsch and Kobbelt, remeshing, SGP 2004)
_LOWEST_COTANGENT = 0.05  # keeps a vertex between its neighbours where triangles are bad


def refine(mesh: Mesh, first: int) -> Mesh:
    """Splits and flips edges between the faces from ``first`` on, until they are as fine as the mesh around them.

    As Liepa (SGP 2003, section 4): every vertex has the length of the edges around it as its scale, the mean of both
    ends' at a new one; edges are flipped to be Delaunay. Edges at older faces stay.
    """
    old, new = mesh.faces[:first].astype(np.int64), mesh.faces[first:].astype(np.int64)
    points = mesh.vertices.astype(np.float64)
    colors = None if mesh.colors is None else mesh.colors.astype(np.float64)
    near = np.zeros(len(points), bool)
    near[new.ravel()] = True
    scale = _edge_scale(points, old[near[old].any(1)])
    fixed = half_edges(old[near[old].sum(1) >= 2])
    for _ in range(_PASSES):
        for _ in range(_FLIPS):
            new = _flip(points, new, fixed)
        pairs, ends = _inner_edges(new)
        length = np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=1)
        ratio = length / (_LONG * scale[ends].mean(1))
        chosen = _independent(pairs, np.where(ratio > 1, ratio, 0))
        if not len(chosen):
            break
        ends = ends[chosen]
        middle = len(points) + np.arange(len(ends))
        points = np.concatenate([points, points[ends].mean(1)])
        scale = np.concatenate([scale, scale[ends].mean(1)])
        if colors is not None:
            colors = np.concatenate([colors, colors[ends].mean(1)])
        new = _split(new, pairs[chosen], middle)
    faces = np.concatenate([old, new]).astype(np.int32)
    rounded = None if colors is None else colors.round().clip(0, 255).astype(np.uint8)
    return replace(mesh, vertices=points.astype(mesh.vertices.dtype), faces=faces, colors=rounded)


def fair(mesh: Mesh, first_face: int, first_vertex: int) -> Mesh:
    """Places the vertices from ``first_vertex`` on, which only faces from ``first_face`` on use, on a thin plate.

    The plate goes on from the surface around it in place and in slope: the bi-Laplacian of the position is zero
    (Botsch and Kobbelt, "An Intuitive Framework for Real-Time Freeform Modeling", 2004, k = 2), first with equal
    weights, then with the cotangents of the result. Colours are harmonic. A patch that swings further from a membrane
    than a quarter of what it spans, as over a rough border, is the membrane.
    """
    if len(mesh.vertices) == first_vertex:
        return mesh
    patch = np.unique(mesh.faces[first_face:])
    touched = np.zeros(len(mesh.vertices), bool)
    touched[patch] = True
    faces = mesh.faces[touched[mesh.faces].any(1)]
    local, inverse = np.unique(faces, return_inverse=True)
    faces = inverse.reshape(-1, 3)
    points = mesh.vertices[local].astype(np.float64)
    free = local >= first_vertex
    whole_ring = touched[local]

    laplacian, area = _laplacian(points, faces, even=True)
    membrane = _solve(laplacian, points, free)
    plate = _solve(_squared(laplacian, area, whole_ring), membrane, free)
    laplacian, area = _laplacian(plate, faces, even=False)
    plate = _solve(_squared(laplacian, area, whole_ring), plate, free)
    inside = inverse.reshape(-1, 3)[free[faces].any(1) | (touched[local][faces].all(1))]
    calm = _calm(membrane, plate, inside, len(points))
    placed = np.where(calm[:, None], plate, membrane)

    vertices = mesh.vertices.copy()
    vertices[local[free]] = placed[free]
    colors = mesh.colors
    if colors is not None:
        harmonic = _solve(_laplacian(placed, faces, even=False)[0], colors[local].astype(np.float64), free)
        colors = colors.copy()
        colors[local[free]] = harmonic[free].round().clip(0, 255)
    return replace(mesh, vertices=vertices, colors=colors)


def _edge_scale(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Mean length of the edges at each vertex [V]; 0 without."""
    half = half_edges(faces)
    length = np.linalg.norm(points[half[:, 0]] - points[half[:, 1]], axis=1)
    total = np.bincount(half.ravel(), np.repeat(length, 2), len(points))
    return total / np.maximum(np.bincount(half.ravel(), minlength=len(points)), 1)


def _inner_edges(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half-edges on both sides [P, 2] and ends [P, 2] of the edges between two of the faces."""
    pairs = face_pairs(edges(faces))
    return pairs, half_edges(faces)[pairs[:, 0]]


def _independent(pairs: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Edges [K], indices into pairs of half-edges [P, 2], of positive gain [P] and no two of one face: local maxima."""
    order = np.argsort(gain, kind="stable")
    best = np.full(pairs.max(initial=-1) // 3 + 1, -1)
    for side in range(2):
        of_face = pairs[order, side] // 3
        rank = np.arange(len(order))
        np.maximum.at(best, of_face, rank)
    chosen = (best[pairs[order] // 3] == np.arange(len(order))[:, None]).all(1)
    picked: np.ndarray = order[chosen & (gain[order] > 0)]
    return picked


def _split(faces: np.ndarray, pairs: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """The faces with both sides of the edges [K, 2] split at the vertices [K]."""
    half, middle = pairs.ravel(), np.repeat(middle, 2)
    face, corner = half // 3, half % 3
    a, b, c = (faces[face, (corner + k) % 3] for k in range(3))
    faces = faces.copy()
    faces[face] = np.stack([a, middle, c], 1)
    return np.concatenate([faces, np.stack([middle, b, c], 1)])


def _flip(points: np.ndarray, faces: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """The faces with edges flipped where the angles across them sum to more than pi; no edge is made twice."""
    pairs, ends = _inner_edges(faces)
    if not len(pairs):
        return faces
    a, b = ends.T
    c, d = (faces.ravel()[half // 3 * 3 + (half % 3 + 2) % 3] for half in pairs.T)
    angles = _angle_at(points, c, a, b) + _angle_at(points, d, a, b)
    before = _normal(points, a, b, c) + _normal(points, b, a, d)
    unfolded = (dot(before, _normal(points, a, d, c)) > 0) & (dot(before, _normal(points, d, b, c)) > 0)
    size = len(points)
    present = np.concatenate([half_edges(faces), fixed])
    present = np.unique(np.minimum(*present.T) * size + np.maximum(*present.T))
    made = np.minimum(c, d) * size + np.maximum(c, d)
    exists = present[np.searchsorted(present, made).clip(max=len(present) - 1)] == made
    chosen = _independent(pairs, np.where(unfolded & ~exists & (c != d), angles - np.pi - 1e-6, 0))
    chosen = chosen[np.unique(made[chosen], return_index=True)[1]]
    faces = faces.copy()
    a, b, c, d = a[chosen], b[chosen], c[chosen], d[chosen]
    faces[pairs[chosen, 0] // 3] = np.stack([a, d, c], 1)
    faces[pairs[chosen, 1] // 3] = np.stack([d, b, c], 1)
    return faces


def _angle_at(points: np.ndarray, apex: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    u, v = points[a] - points[apex], points[b] - points[apex]
    angle: np.ndarray = np.arctan2(length(np.cross(u, v)), dot(u, v))
    return angle


def _normal(points: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return np.cross(points[b] - points[a], points[c] - points[a])


def _laplacian(points: np.ndarray, faces: np.ndarray, even: bool) -> tuple[Any, np.ndarray]:
    """Positive semi-definite Laplacian [V, V] and the share of the area (of the edges, if even) at each vertex [V]."""
    sparse = require("scipy.sparse")
    rows, columns, weights = [], [], []
    for k in range(3):
        a, b, c = faces[:, k], faces[:, (k + 1) % 3], faces[:, (k + 2) % 3]
        if even:
            weight = np.full(len(faces), 0.5)
        else:
            u, v = points[a] - points[c], points[b] - points[c]
            cross = length(np.cross(u, v))
            weight = np.maximum(dot(u, v) / np.maximum(cross, 1e-30), _LOWEST_COTANGENT) / 2
        rows += [a, b]
        columns += [b, a]
        weights += [weight, weight]
    shape = (len(points),) * 2
    near = sparse.csr_matrix((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=shape)
    degree = np.asarray(near.sum(1)).ravel()
    if even:
        share = degree
    else:
        size = np.linalg.norm(_normal(points, *faces.T), axis=1) / 6
        share = np.bincount(faces.ravel(), np.repeat(size, 3), len(points))
    return sparse.diags(degree) - near, np.maximum(share, 1e-30)


def _squared(laplacian: Any, share: np.ndarray, rows: np.ndarray) -> Any:
    """The bi-Laplacian, from the Laplacian at the vertices whose rings are whole."""
    sparse = require("scipy.sparse")
    return laplacian @ sparse.diags(np.where(rows, share.mean() / share, 0)) @ laplacian


def _solve(matrix: Any, values: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Values [V, C] for which the matrix gives zero at the free vertices, the others as they are."""
    solved = values.copy()
    solved[free] = solve(matrix[free][:, free], -(matrix[free][:, ~free] @ values[~free]))
    return solved


def _calm(membrane: np.ndarray, plate: np.ndarray, faces: np.ndarray, count: int) -> np.ndarray:
    """Which vertices [count] belong to patches whose plate stays near the membrane and is a number everywhere."""
    sparse, graph = require("scipy.sparse"), require("scipy.sparse.csgraph")
    half = half_edges(faces)
    links = sparse.coo_matrix((np.ones(len(half), bool), tuple(half.T)), shape=(count, count))
    patches, label = graph.connected_components(links, directed=False)
    swing, low, high = np.zeros(patches), np.full((patches, 3), np.inf), np.full((patches, 3), -np.inf)
    np.maximum.at(swing, label, np.nan_to_num(np.linalg.norm(plate - membrane, axis=1), nan=np.inf))
    np.minimum.at(low, label, membrane)
    np.maximum.at(high, label, membrane)
    calm: np.ndarray = (swing <= 0.25 * (high - low).max(1))[label]
    return calm
