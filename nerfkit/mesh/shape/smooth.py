"""Takes the noise off a surface and keeps its edges and its volume."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.requirements import require
from nerfkit.mesh.shape.topology import neighbors
from nerfkit.mesh.vectors import dot, length, unit

_NORMAL_STEPS = 160  # at full strength: normals are averaged over about twice its root, in faces
_VERTEX_STEPS = 100  # at most…
_ENOUGH = 1e-3  # … until so much is left of the first residual
_STAY = 2e-3  # how strongly a vertex stays at its height: so do waves of more than 200 faces
_STAY_BESIDE = 0.1  # … and at its place on the surface, where normals say nothing
_EDGE = 0.25  # difference of two unit normals (14 degrees) from which an edge is thought to lie between them
_GUIDE_STEPS = 3
_ROUNDS = 3  # each with the normals of the one before as its guide: edges get clearer
_STRENGTHS = 0.01, 0.5  # that are chosen…
_NOISES = 0.25, 0.3  # …for a noise of the depth maps, in voxels, up to the first and from the second on
_OF_FIELD = 0.35  # at least, for what is as bumpy as a field learns it


def strength_for(noise: float, of_field: bool = False) -> float:
    """How strongly to smooth a surface that was fused from depth maps with a noise of so many voxels.

    What single views get wrong is averaged away; but models whose views differ have bumps that all views share, too.
    So has the surface of a density field (``of_field``), of which no view tells.
    """
    return max(float(np.interp(noise, _NOISES, _STRENGTHS)), _OF_FIELD if of_field else 0.0)


def smooth(mesh: Mesh, strength: float = 0.5) -> Mesh:
    """Moves vertices so that the faces follow normals that are smoothed, but not across edges.

    Normals first: a bilateral filter over the faces (Zheng et al., "Bilateral Normal Filtering for Mesh Denoising",
    TVCG 2011, eq. 4-6, the local scheme over the faces across the edges), with the weights between two faces taken
    from normals that are averaged already (as in Zhang et al., "Guided Mesh Normal Filtering", 2015), because those of
    a noisy surface tell little about its edges. Then the vertices are moved along the normals until the faces have
    them (the sum of squares that Sun et al., "Fast and Effective Feature-Preserving Mesh Denoising", TVCG 2007, section
    4.2 descend on), which does not shrink what is round: where normals are right already, nothing moves.

    Args:
        mesh: a manifold; colours stay with the vertices, normals are dropped.
        strength: 0 (nothing changes) to 1.
    """
    steps = round(_NORMAL_STEPS * strength)
    if not steps or not len(mesh.faces):
        return mesh
    center = mesh.vertices.mean(0, dtype=np.float64)
    points = (mesh.vertices - center).astype(np.float32)  # which keeps its digits near the origin
    target = _filtered_normals(points, mesh.faces, steps)
    points = _follow(points, mesh.faces, target)
    return replace(mesh, vertices=(points + center).astype(mesh.vertices.dtype), normals=None)


def _filtered_normals(points: np.ndarray, faces: np.ndarray, steps: int) -> np.ndarray:
    """Unit normals [F, 3] of the faces, smoothed within the parts between edges."""
    sparse = require("scipy.sparse")
    across = neighbors(faces)
    crosses = _crosses(points, faces)
    area = length(crosses)
    normals = crosses / np.maximum(area, 1e-30)[:, None]
    rows = np.repeat(np.arange(len(faces)), 4)
    columns = np.concatenate([across, np.arange(len(faces))[:, None]], 1).ravel()

    def average(weights: np.ndarray) -> object:  # [F, 4], of the neighbours and the face itself
        weights = weights / np.maximum(weights.sum(1, keepdims=True), 1e-30)
        return sparse.csr_matrix((weights.ravel(), (rows, columns)), shape=(len(faces),) * 2, dtype=np.float32)

    area = area / max(float(area.mean()), 1e-30)
    plain = np.concatenate([area[across], area[:, None]], 1)
    guide, blend = normals, average(plain)
    for _ in range(_GUIDE_STEPS):
        guide = unit(blend @ guide)
    for number in range(_ROUNDS):
        difference = length(guide[across] - guide[:, None])  # [F, 3]
        similar = np.exp(-0.5 * (difference / _edge_size(difference)) ** 2)
        blend = average(plain * np.concatenate([similar, np.ones((len(faces), 1), np.float32)], 1))
        for _ in range(steps * (number + 1) // _ROUNDS - steps * number // _ROUNDS):
            normals = unit(blend @ normals)
        guide = normals
    return normals


def _edge_size(difference: np.ndarray) -> float:
    """Where an edge begins: above what noise, of which most of the surface consists, makes."""
    return max(_EDGE, 2 * float(np.median(difference)))


def _follow(points: np.ndarray, faces: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Vertices [V, 3] where the faces have the normals [F, 3], as near to the given ones as that allows.

    What is minimised is the sum over the faces' corners of ``(n . (v - c))^2``, c being the face's middle, and of a
    little of what the vertices move: by conjugate gradients, since steps of descent flatten no waves that are longer
    than a few faces.
    """
    rise = _heights(faces, normals, len(points))
    lower = rise.T.tocsr()
    up = unit((lower @ np.ones(faces.size, np.float32)).reshape(-1, 3))  # [V, 3]

    def pull(place: np.ndarray) -> np.ndarray:
        """Half the derivative of the first sum."""
        height = (rise @ place.ravel()).reshape(-1, 3)  # [F, 3] of the corners
        height -= ((height[:, 0] + height[:, 1] + height[:, 2]) / 3)[:, None]  # `mean` takes ten times as long
        return (lower @ height.ravel()).reshape(-1, 3)  # type: ignore[no-any-return]

    moved = np.zeros_like(points)
    rest = -pull(points)
    along = rest.copy()
    size = first = float(np.vdot(rest, rest))
    for _ in range(_VERTEX_STEPS):
        if size <= _ENOUGH**2 * first:
            break
        above = dot(along, up)[:, None]
        image = pull(along) + _STAY_BESIDE * along + (_STAY - _STAY_BESIDE) * above * up
        share = size / float(np.vdot(along, image))
        moved += share * along
        rest -= share * image
        before, size = size, float(np.vdot(rest, rest))
        along = rest + size / before * along
    return points + moved


def _heights(faces: np.ndarray, normals: np.ndarray, count: int) -> Any:
    """The sparse matrix [3 F, 3 V] that gives each corner's height, along its face's normal, of vertices [V, 3]."""
    columns = 3 * faces.reshape(-1, 1) + np.arange(3)
    rows = np.arange(0, columns.size + 1, 3)
    values = np.repeat(normals.astype(np.float32), 3, 0)
    return require("scipy.sparse").csr_matrix((values.ravel(), columns.ravel(), rows), (faces.size, 3 * count))


def _crosses(points: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = points[faces[:, 0]], points[faces[:, 1]], points[faces[:, 2]]
    return np.cross(b - a, c - a)
