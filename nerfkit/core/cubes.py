"""The triangles that marching cubes puts into a cube, for every choice of inside and outside corners.

Lorensen and Cline, "Marching Cubes: A High Resolution 3D Surface Construction Algorithm", SIGGRAPH 1987, but without
their symmetry between inside and outside, which leaves holes: on a face with two inside corners that face each other,
the surface always cuts off these. So what it does on a face depends on the face's corners alone, both cubes at it do
the same, and no hole appears between them.

Corner ``c`` lies at ``(c >> 2, c >> 1 & 1, c & 1)`` from the cube's voxel. Edge ``4 axis + 2 a + b`` runs along
``axis``, at ``a`` and ``b`` along the other two axes.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

Loop = tuple[int, ...]  # edges

ROW = 16  # NK_CUBE_ROW: the number of triangles, and three edges for each of up to five


@functools.cache
def triangles() -> Tensor:
    """[256, 16] uint8 by the bits of the corners inside: the number of triangles, and three edges of each, in order.

    They run counter-clockwise seen from outside.
    """
    table = np.zeros((256, ROW), np.uint8)
    for signs in range(256):
        made = [triangle for loop in loops(signs) for triangle in triangulated(loop)]
        table[signs, 0] = len(made)
        table[signs, 1 : 1 + 3 * len(made)] = np.array(made, np.uint8).reshape(-1)
    return torch.from_numpy(table)


def corner(edge: int, end: int) -> int:
    """The corner at the lower (0) or upper (1) end of an edge."""
    axis, along = edge // 4, [edge >> 1 & 1, edge & 1]
    along.insert(axis, end)
    return along[0] << 2 | along[1] << 1 | along[2]


@functools.cache
def _edge_between(a: int, b: int) -> int:
    return next(edge for edge in range(12) if {corner(edge, 0), corner(edge, 1)} == {a, b})


@functools.cache
def faces() -> tuple[tuple[int, ...], ...]:
    """The four corners of each of the six faces, counter-clockwise seen from outside the cube."""
    made = []
    for axis in range(3):
        u, v = 4 >> (axis + 1) % 3, 4 >> (axis + 2) % 3  # bits of the other axes, so that (axis, u, v) is right-handed
        made.append((4 >> axis, 4 >> axis | u, 4 >> axis | u | v, 4 >> axis | v))  # looks along +axis
        made.append((0, v, u | v, u))
    return tuple(made)


def loops(signs: int) -> list[Loop]:
    """The closed lines in which the surface meets the cube's faces, by the edges that they cross."""
    following: dict[int, int] = {}
    for corners in faces():
        inside = [bool(signs >> c & 1) for c in corners]
        for i in range(4):
            if inside[i] and not inside[i - 1]:  # a run of inside corners begins: the line goes around it
                end = next(k for k in range(i, i + 4) if not inside[(k + 1) % 4])
                enters = _edge_between(corners[i - 1], corners[i])
                leaves = _edge_between(corners[end % 4], corners[(end + 1) % 4])
                following[enters] = leaves
    found = []
    while following:
        loop = [next(iter(following))]
        while loop[0] != (after := following.pop(loop[-1])):
            loop.append(after)
        found.append(tuple(loop))
    return found


def triangulated(loop: Loop) -> list[Loop]:
    """Triangles of a closed line, none of whose inner sides lies in a face of the cube, where a neighbour might have
    the same one."""
    return next(made for made in _triangulations(loop) if not _sides_within(made, loop) & _pairs_on_faces())


def _triangulations(loop: Loop) -> Iterator[list[Loop]]:
    if len(loop) < 3:
        yield []
        return
    for k in range(1, len(loop) - 1):  # the third corner of the triangle on the side from the last to the first
        for before in _triangulations(loop[: k + 1]):
            for after in _triangulations(loop[k:]):
                yield [(loop[0], loop[k], loop[-1]), *before, *after]


def _sides_within(made: list[Loop], loop: Loop) -> set[frozenset[int]]:
    around = {frozenset((loop[i - 1], loop[i])) for i in range(len(loop))}
    return {frozenset(pair) for triangle in made for pair in combinations(triangle, 2)} - around


@functools.cache
def _pairs_on_faces() -> set[frozenset[int]]:
    edges = [[_edge_between(face[i - 1], face[i]) for i in range(4)] for face in faces()]
    return {frozenset(pair) for face in edges for pair in combinations(face, 2)}
