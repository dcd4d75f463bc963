"""Collision shapes: convex, closed, facing outwards, and light enough for any physics engine."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh import geometry
from nerfkit.mesh.shape.clean import drop_degenerate
from nerfkit.mesh.assets.decompose import decompose
from nerfkit.mesh.requirements import require
from nerfkit.mesh.shape.simplify import simplify
from nerfkit.progress import ProgressSink, quiet

Kind = Literal["none", "box", "hull", "convex"]

MAX_VERTICES = 128
"""Of a hull: PhysX (Unity, Unreal) takes 255 vertices and 255 faces, and this many have 252 triangles."""
PART_VERTICES = 64
"""Of one of several parts."""
_THINNEST = 1e-3  # of the extent: flat things get a thickness
_DIRECTIONS = 512  # in which a hull's corners are looked for, where it has more
_INPUT_FACES = 3000  # to decompose: what it takes grows with them, what physics feels doesn't
_SECONDS = 60.0  # that a decomposition may take


def collision_shapes(
    mesh: Mesh, kind: Kind, parts: int = 16, progress: ProgressSink = quiet, *, seconds: float = _SECONDS
) -> list[Mesh]:
    """Convex shapes around a mesh, in its frame.

    Args:
        mesh: the shape; a coarse level of detail is enough.
        kind: none; box: the smallest box in any orientation; hull: the convex hull; convex: up to ``parts`` convex
            pieces that follow its hollows (see :mod:`nerfkit.mesh.assets.decompose`).
        parts: of a convex decomposition, at most.
        progress: hears of the stage ``collision``.
        seconds: that a decomposition may take. On a slower machine it may come out coarser; at worst it is the hull.

    Raises:
        NerfkitError: a mesh without faces.
    """
    if kind == "none":
        return []
    if not len(mesh.faces):
        raise NerfkitError("no collision shape: the mesh has no faces")
    progress("collision", 0, 1)
    points = np.unique(mesh.vertices[mesh.faces].reshape(-1, 3).astype(np.float64), axis=0)
    if kind == "box":
        shapes = [_box(points)]
    elif kind == "hull" or parts <= 1:
        shapes = [_hull(points, MAX_VERTICES)]
    else:
        shapes = _decomposition(mesh, parts, seconds) or [_hull(points, MAX_VERTICES)]
    progress("collision", 1, 1)
    return shapes


def _box(points: np.ndarray) -> Mesh:
    trimesh = require("trimesh")
    points = _thickened(points)
    box_from_mesh, extents = trimesh.bounds.oriented_bounds(points)
    body = trimesh.creation.box(extents, np.linalg.inv(box_from_mesh))
    return _outwards(np.asarray(body.vertices), np.asarray(body.faces))


def _hull(points: np.ndarray, max_vertices: int) -> Mesh:
    """The convex hull, or the hull of ``max_vertices`` of its corners.

    Grown from the outermost points along the axes by the one that lies farthest outside, again and again: what is left
    out is about as thin as the number of corners allows. It lies within the whole hull.
    """
    spatial = require("scipy.spatial")
    points = _thickened(points)
    corners = points[spatial.ConvexHull(points).vertices]
    if len(corners) > max(_DIRECTIONS, max_vertices):
        corners = corners[np.unique((corners @ _sphere(_DIRECTIONS).T).argmax(0))]
    if len(corners) > max_vertices:
        directions = np.concatenate([np.eye(3), -np.eye(3), [[1, 1, 1], [-1, 1, -1]]])
        chosen = np.unique((corners @ directions.T).argmax(0))
        while len(chosen) < max_vertices:
            planes = spatial.ConvexHull(corners[chosen]).equations
            height = corners @ planes[:, :3].T + planes[:, 3]  # [corners, planes]
            outermost = int(height.max(1).argmax())
            if outermost in chosen:
                break
            chosen = np.append(chosen, outermost)
        corners = corners[chosen]
    hull = spatial.ConvexHull(corners)
    renumbered = np.zeros(len(corners), np.int64)
    renumbered[hull.vertices] = np.arange(len(hull.vertices))
    return _outwards(corners[hull.vertices], renumbered[hull.simplices])


def _decomposition(mesh: Mesh, parts: int, seconds: float) -> list[Mesh]:
    require("coacd")
    small = simplify(drop_degenerate(Mesh(mesh.vertices, mesh.faces)), _INPUT_FACES)
    pieces = decompose(small.vertices, small.faces, geometry.is_watertight(small), parts, seconds)
    hulls = [_hull(points, PART_VERTICES) for points in pieces if len(points)]
    return sorted(hulls, key=_volume, reverse=True)[:parts]


def _sphere(count: int) -> np.ndarray:
    """Directions [count, 3] spread evenly: a Fibonacci lattice."""
    z = 1 - (2 * np.arange(count) + 1) / count
    turn = np.arange(count) * math.pi * (3 - math.sqrt(5))
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], 1)


def _thickened(points: np.ndarray) -> np.ndarray:
    """The points, moved apart along the thinnest direction where they lie (nearly) in a plane or on a line."""
    center = points.mean(0)
    _, _, axes = np.linalg.svd(points - center, full_matrices=False) if len(points) >= 3 else (0, 0, np.eye(3))
    along = (points - center) @ axes.T
    extent = np.ptp(along, axis=0)
    thinnest = _THINNEST * (float(extent.max()) or 1.0)
    for axis in axes[extent < thinnest]:
        points = np.concatenate([points - thinnest / 2 * axis, points + thinnest / 2 * axis])
    return points


def _outwards(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    """The convex mesh with every face counter-clockwise from outside, and with normals."""
    corners = vertices[faces]
    cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inwards = ((corners[:, 0] - vertices.mean(0)) * cross).sum(1) < 0
    faces = np.where(inwards[:, None], faces[:, ::-1], faces)
    mesh = Mesh(vertices.astype(np.float32), faces.astype(np.int32))
    mesh.normals = geometry.vertex_normals(mesh)
    return mesh


def _volume(mesh: Mesh) -> float:
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    return float(np.linalg.det(corners).sum() / 6) if len(corners) else math.nan
