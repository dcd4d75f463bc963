"""Cuts a surface into regions of bounded size, along short borders, so that each can be worked on for itself."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nerfkit.mesh.shape.topology import components, edges, face_pairs, half_edges

_SWAY = 0.1  # of the faces: how far from an even cut the cheapest one is looked for
_CREASE = 0.05  # cost of an edge at a right angle and beyond, where charts end anyway, against a flat one


@dataclass(frozen=True)
class _Part:
    """Faces, and which of them touch."""

    faces: np.ndarray  # [N] numbers in the mesh
    centers: np.ndarray  # [N, 3] float64
    pairs: np.ndarray  # [P, 2] places in ``faces``
    cost: np.ndarray  # [P] of cutting between the two

    def pick(self, chosen: np.ndarray) -> _Part:
        """The part of the faces where ``chosen`` [N] is true."""
        number = np.cumsum(chosen) - 1
        within = chosen[self.pairs].all(1)
        return _Part(self.faces[chosen], self.centers[chosen], number[self.pairs[within]], self.cost[within])


def regions(vertices: np.ndarray, faces: np.ndarray, most: int) -> list[np.ndarray]:
    """The faces of a mesh in regions of at most ``most``, each face in one; small pieces share a region of twice that.

    Recursive bisection: faces are lined up along the axes, and the principal axes of their centres, and cut where, near
    the middle, the edges between the two sides are shortest; edges at creases count less than those in flat places.
    Linear in the number of faces but for the sorting.

    Args:
        vertices: [V, 3].
        faces: [F, 3].
        most: faces, at least 1.

    Returns:
        Ascending numbers of faces, [N] int64 each; the same for the same mesh.
    """
    whole = _part(vertices.astype(np.float64), faces)
    piece = components(faces, len(vertices))
    count = np.bincount(piece)
    small = count <= most
    found = _together(piece, count, small, most)
    waiting = _pieces(whole, piece, np.flatnonzero(~small))
    while waiting:
        part = waiting.pop()
        if len(part.faces) <= most:
            found.append(part.faces)
        else:
            first = _cut(part, most)
            waiting += [part.pick(~first), part.pick(first)]
    return found


def _part(vertices: np.ndarray, faces: np.ndarray) -> _Part:
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    halves = face_pairs(edges(faces))
    ends = vertices[half_edges(faces)[halves[:, 0]]]
    pairs = halves // 3
    flat = np.clip((normals[pairs[:, 0]] * normals[pairs[:, 1]]).sum(1), math.sqrt(_CREASE), 1) ** 2
    return _Part(np.arange(len(faces)), corners.mean(1), pairs, np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1) * flat)


def _together(piece: np.ndarray, count: np.ndarray, small: np.ndarray, most: int) -> list[np.ndarray]:
    """Regions of the pieces where ``small`` is true, as many in each as fit."""
    number = (np.cumsum(np.where(small, count, 0)) - 1) // most
    region = np.where(small, number, -1)[piece]
    order = np.argsort(region, kind="stable")
    order = order[region[order] >= 0]
    return np.split(order, np.flatnonzero(np.diff(region[order])) + 1) if len(order) else []


def _pieces(whole: _Part, piece: np.ndarray, chosen: np.ndarray) -> list[_Part]:
    """The pieces of those numbers, each a part."""
    of_pair = piece[whole.pairs[:, 0]]
    place = np.zeros(len(whole.faces), np.int64)
    face_order, pair_order = np.argsort(piece, kind="stable"), np.argsort(of_pair, kind="stable")
    faces_end = np.searchsorted(piece[face_order], chosen, side="right")
    pairs_end = np.searchsorted(of_pair[pair_order], chosen, side="right")
    found = []
    for number, last_face, last_pair in zip(chosen, faces_end, pairs_end, strict=True):
        own = face_order[np.searchsorted(piece[face_order], number) : last_face]
        links = pair_order[np.searchsorted(of_pair[pair_order], number) : last_pair]
        place[own] = np.arange(len(own))
        found.append(_Part(own, whole.centers[own], place[whole.pairs[links]], whole.cost[links]))
    return found


def _cut(part: _Part, most: int) -> np.ndarray:
    """The faces on the first side of the cheapest cut, [N] bool; neither side is empty."""
    count = len(part.faces)
    regions = math.ceil(count / most)
    middle = regions // 2 / regions
    low, high = max(1, int(count * (middle - _SWAY))), min(count - 1, int(count * (middle + _SWAY)))
    from_mean = part.centers - part.centers.mean(0)
    _, principal = np.linalg.eigh(from_mean.T @ from_mean)
    best, first = math.inf, np.zeros(count, bool)
    for axis in (*np.eye(3), *principal.T):
        rank = np.empty(count, np.int64)
        rank[np.argsort(from_mean @ axis, kind="stable")] = np.arange(count)
        of_pair = rank[part.pairs]
        # an edge is cut by those places that lie after its first face and not after its second
        begun = np.bincount(of_pair.min(1) + 1, part.cost, count + 1)
        ended = np.bincount(of_pair.max(1) + 1, part.cost, count + 1)
        cost = np.cumsum(begun - ended)[low : high + 1]
        cheapest = int(cost.argmin())
        if cost[cheapest] < best:
            best, first = float(cost[cheapest]), rank < low + cheapest
    return first
