"""The table or ground on which an object stands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.shape.clean import select_faces
from nerfkit.mesh.geometry import face_crosses
from nerfkit.mesh.shape.holes import fill_loops, holes
from nerfkit.mesh.shape.topology import components, neighbors

_SAMPLES = 4000
_TRIES = 800
_TILT = np.cos(np.radians(25))  # the frame's up is not exact
_COARSE = 0.01  # of the extent: distance to a plane within which a point speaks for it, at first
_LEAST = 0.05  # of the mesh's area is ground, where there is one
_BELOW = 0.25  # of the mesh's area may lie below it
_NOISE = 3.0  # standard deviations that still are ground
_FOOT = 3.0  # times the tolerance: so high reaches the fillet between the ground and what stands on it


@dataclass(frozen=True)
class Ground:
    """The plane ``normal . x = height``, +Z or nearly."""

    normal: np.ndarray  # [3] unit
    height: float
    tolerance: float  # distance within which the surface is the plane, from its noise

    def above(self, points: np.ndarray) -> np.ndarray:
        """Signed distance [...] of points [..., 3]."""
        distance: np.ndarray = points @ self.normal - self.height
        return distance


def find_ground(mesh: Mesh, seed: int = 0) -> Ground | None:
    """The plane under the things of a mesh whose up is +Z (the scene frame), or None.

    RANSAC (Fischler and Bolles 1981) over points drawn by area from the faces in the lower half that look up, then
    least squares on the inliers; of planes that nearly as much speaks for, the lowest. It is none if there is little
    of it, or if much of the mesh lies below.
    """
    if not len(mesh.faces):
        return None
    rng = np.random.default_rng(seed)
    crosses = face_crosses(mesh)
    area = np.linalg.norm(crosses, axis=1)
    centers = mesh.vertices[mesh.faces].mean(1, dtype=np.float64)
    low, high = np.quantile(mesh.vertices[:, 2], [0.005, 0.995])
    candidate = (crosses[:, 2] > _TILT * area) & (centers[:, 2] <= (low + high) / 2)
    if area[candidate].sum() < _LEAST * area.sum():
        return None
    weight = np.where(candidate, area, 0)
    drawn = rng.choice(len(centers), _SAMPLES, p=weight / weight.sum())
    # corners, not centres, whose noise is less than that of the vertices
    points = mesh.vertices[mesh.faces[drawn, rng.integers(0, 3, _SAMPLES)]].astype(np.float64)
    coarse = _COARSE * float(np.ptp(mesh.vertices, axis=0).max())

    normal, height = _ransac(points, coarse, rng)
    tolerance = coarse
    for _ in range(6):
        inliers = points[np.abs(points @ normal - height) <= tolerance]
        if len(inliers) < 3:
            return None
        middle = inliers.mean(0)
        normal = np.linalg.svd(inliers - middle, full_matrices=False)[2][2]
        normal = normal if normal[2] > 0 else -normal
        height = float(middle @ normal)
        distance = np.abs(inliers @ normal - height)
        tolerance = min(coarse, max(_NOISE * 1.4826 * float(np.median(distance)), 0.05 * coarse))
    ground = Ground(normal, height, tolerance)
    above = ground.above(centers)
    flat = candidate & (np.abs(above) <= tolerance)
    if area[flat].sum() < _LEAST * area.sum() or area[above < -coarse].sum() > _BELOW * area.sum():
        return None
    return ground


def remove_ground(mesh: Mesh, ground: Ground | None = None) -> Mesh:
    """The mesh without its ground and what lies below; a mesh without ground comes back as it is.

    Faces that look down, as an object's own base, stay; so does everything higher than the plane's noise, but for the
    fillet that runs from the ground up to things. Opened borders stay open (:func:`close_contact`).

    Args:
        mesh: in the scene frame (+Z up).
        ground: as :func:`find_ground` finds it, which is asked otherwise.

    Raises:
        NerfkitError: nothing stands on the ground.
    """
    ground = ground or find_ground(mesh)
    if ground is None:
        return mesh
    crosses = face_crosses(mesh)
    upward = (crosses @ ground.normal) / np.maximum(np.linalg.norm(crosses, axis=1), 1e-300)
    above = ground.above(mesh.vertices.astype(np.float64))[mesh.faces]  # [F, 3]
    tolerance = ground.tolerance
    gone = ((above.max(1) <= tolerance) & (upward > -0.5)) | (above.max(1) < -tolerance)
    fillet = (above.min(1) <= _FOOT * tolerance) & (upward > 0.5)
    across = neighbors(mesh.faces)
    while True:
        more = ~gone & fillet & gone[across].any(1)
        if not more.any():
            break
        gone |= more
    rest = select_faces(mesh, ~gone)
    if len(rest.faces):  # crumbs of the ground
        piece = components(rest.faces, len(rest.vertices))
        top = np.full(piece.max() + 1, -np.inf)
        np.maximum.at(top, piece, ground.above(rest.vertices.astype(np.float64))[rest.faces].max(1))
        rest = select_faces(rest, (top > _FOOT * tolerance)[piece])
    if not len(rest.faces):
        raise NerfkitError("the mesh is nothing but ground; use --ground keep")
    return rest


def close_contact(mesh: Mesh, ground: Ground) -> Mesh:
    """Closes, flat, what :func:`remove_ground` has opened: the borders that lie along the ground, however wide."""
    reach = 2 * _FOOT * ground.tolerance
    loops = [loop for loop in holes(mesh) if np.abs(ground.above(mesh.vertices[loop])).max() <= reach]
    return fill_loops(mesh, loops, fair=False)


def _ransac(points: np.ndarray, tolerance: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Normal and height of the plane of most points [P, 3], upright, the lowest of nearly equal ones."""
    a, b, c = points[rng.integers(0, len(points), (3, _TRIES))]
    normals = np.cross(b - a, c - a)
    length = np.linalg.norm(normals, axis=1)
    normals = normals / np.maximum(length, 1e-300)[:, None] * np.where(normals[:, 2:] < 0, -1, 1)
    upright = (normals[:, 2] >= _TILT) & (length > 0)
    normals, a = normals[upright], a[upright]
    if not len(normals):
        normals, a = np.array([[0.0, 0.0, 1.0]]), np.median(points, axis=0)[None]
    heights = (normals * a).sum(1)
    votes = np.array([(np.abs(points @ n - h) <= tolerance).sum() for n, h in zip(normals, heights, strict=True)])
    good = np.flatnonzero(votes >= 0.7 * votes.max())
    middle = points.mean(0)
    level = (heights[good] - normals[good, :2] @ middle[:2]) / normals[good, 2]
    # the best of those as low as the lowest
    lowest = good[level <= level.min() + 2 * tolerance]
    best = lowest[votes[lowest].argmax()]
    return normals[best], float(heights[best])
