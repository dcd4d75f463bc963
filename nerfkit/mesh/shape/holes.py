"""Closes holes in a surface with patches that go on as it does around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.geometry import face_crosses
from nerfkit.mesh.shape import patch
from nerfkit.mesh.shape.manifold import make_manifold
from nerfkit.mesh.shape.topology import border_loops, components, edges, half_edges
from nerfkit.mesh.shape.triangulate import triangulate

_MOST_POINTS = 4000  # of a loop; one that is longer is the border of something
_LONGEST = 4  # widths: of a slit
_THICKEST = 0.5  # widths: slits are flat; the long borders of scraps, which enclose little area too, are not
_FLAT = 0.8  # a piece whose faces look one way to this degree is a sheet, and its border no hole


def fill_holes(mesh: Mesh, width: float) -> Mesh:
    """Closes the holes that are at most ``width`` wide (units of the mesh); larger openings stay.

    The width is the hydraulic diameter, four times the area over the perimeter: that of a circle is its diameter, that
    of a slit, which may be longer, twice the distance of its sides.

    A hole is triangulated (Liepa, "Filling Holes in Meshes", SGP 2003), refined until its triangles are as fine as
    those around it, and faired so that it goes on as the surface does (:mod:`nerfkit.mesh.shape.patch`); colours are
    interpolated. The border of a small sheet is not a hole. New faces come last, new vertices too.

    Args:
        mesh: any; it is cut to a manifold first (:func:`nerfkit.mesh.shape.manifold.make_manifold`).
        width: of the widest hole to close; 0 closes nothing.
    """
    if width <= 0 or not len(mesh.faces):
        return mesh
    mesh = make_manifold(mesh)
    loops = holes(mesh)
    return fill_loops(mesh, [loop for loop in loops if _fits(mesh.vertices[loop].astype(np.float64), width)])


def holes(mesh: Mesh) -> list[np.ndarray]:
    """The borders of a manifold's holes: vertices in order, as the faces pass them. Borders of sheets are left out."""
    loops = border_loops(mesh.faces)
    if not loops:
        return []
    piece = components(mesh.faces, len(mesh.vertices))
    crosses = face_crosses(mesh)
    total = np.stack([np.bincount(piece, crosses[:, axis]) for axis in range(3)], 1)
    sheet = np.linalg.norm(total, axis=1) > _FLAT * np.bincount(piece, np.linalg.norm(crosses, axis=1))
    of_vertex = np.zeros(len(mesh.vertices), np.int64)
    of_vertex[mesh.faces.ravel()] = np.repeat(piece, 3)
    # of a sheet only the outer border, its longest, is none of a hole
    longest: dict[int, int] = {}
    size = [extent(mesh.vertices[loop]) for loop in loops]
    for index, loop in enumerate(loops):
        home = int(of_vertex[loop[0]])
        if home not in longest or size[index] > size[longest[home]]:
            longest[home] = index
    outer = {index for home, index in longest.items() if sheet[home]}
    return [loop for index, loop in enumerate(loops) if index not in outer]


def extent(points: np.ndarray) -> float:
    """The longest side of the box around points [P, 3]."""
    return float(np.ptp(points, axis=0).max())


def _fits(points: np.ndarray, width: float) -> bool:
    """Whether a hole with the border [P, 3] is at most so wide."""
    if extent(points) <= width:
        return True
    if extent(points) > _LONGEST * width:
        return False
    points = points - points.mean(0)
    after = np.roll(points, -1, axis=0)
    area = np.linalg.norm(np.cross(points, after).sum(0)) / 2
    perimeter = np.linalg.norm(after - points, axis=1).sum()
    thickness = np.ptp(points @ np.linalg.svd(points, full_matrices=False)[2][2])
    return bool(4 * area <= width * perimeter and thickness <= _THICKEST * width)


def fill_loops(mesh: Mesh, loops: Sequence[np.ndarray], fair: bool = True) -> Mesh:
    """The manifold with these of its borders closed; without ``fair`` by the plain triangles between their vertices."""
    loops = [loop for loop in loops if len(loop) <= _MOST_POINTS]
    if not loops:
        return mesh
    found = edges(mesh.faces)
    size = len(mesh.vertices)
    known = found.ends[:, 0] * size + found.ends[:, 1]  # sorted
    half = half_edges(mesh.faces)
    border = found.faces[found.of_half_edge] == 1
    crosses = face_crosses(mesh)
    face_after = np.full(size, -1)  # the face at the border's edge that starts at a vertex
    face_after[half[border, 0]] = np.flatnonzero(border) // 3
    triangles = []
    for loop in loops:
        outward = crosses[face_after[loop]]
        outward = outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-300)
        keys = np.minimum(loop[:, None], loop) * size + np.maximum(loop[:, None], loop)
        joined = known[np.searchsorted(known, keys).clip(max=len(known) - 1)] == keys
        triangles.append(loop[triangulate(mesh.vertices[loop].astype(np.float64), outward, joined)])
    filled = replace(mesh, faces=np.concatenate([mesh.faces, *triangles]).astype(np.int32), normals=None)
    if not fair:
        return make_manifold(filled)
    return make_manifold(patch.fair(patch.refine(filled, len(mesh.faces)), len(mesh.faces), len(mesh.vertices)))
