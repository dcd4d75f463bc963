"""Texture coordinates: the surface is cut into charts that lie flat, packed into one square (by xatlas)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.geometry import with_vertices
from nerfkit.mesh.requirements import require
from nerfkit.mesh.shape.topology import components

_GAP = 6  # texels between charts as xatlas packs them; its square comes out up to half as large again as asked for
_LARGEST_CHART = 0.02  # area, where the mesh's longest side is 1: xatlas's time grows with the square of it
_MAX_COST = 8.0  # how far charts may bend; few large charts have less of a seam than many flat ones


def unwrap(mesh: Mesh, size: int = 2048) -> Mesh:
    """The mesh with texture coordinates in a square; vertices are doubled where charts end.

    Charts may lie anyhow turned, some of them mirrored, and never over each other; all have about the same number of
    texels per area. Faces without area share whatever texel they fall on. Faces keep their order.

    Args:
        mesh: with vertices, faces, and any of colours and normals, which are carried along.
        size: of the texture that will be baked, for the distance of charts.

    Raises:
        NerfkitError: a mesh without faces, or the ``mesh`` extra is not installed.
    """
    xatlas = require("xatlas")
    if not len(mesh.faces):
        raise NerfkitError("nothing to unwrap: the mesh has no faces")
    atlas = xatlas.Atlas()
    unit = _unit_size(mesh.vertices)
    atlas.add_mesh(unit, mesh.faces.astype(np.uint32))
    charts, packing = xatlas.ChartOptions(), xatlas.PackOptions()
    charts.max_cost, charts.max_chart_area = _MAX_COST, _LARGEST_CHART
    packing.resolution, packing.padding = size, _GAP
    packing.bilinear, packing.create_image = True, False
    atlas.generate(charts, packing)
    origin, faces, uvs = atlas[0]
    longest = max(atlas.width, atlas.height, 1)
    uvs = uvs * (np.array([atlas.width, atlas.height]) / longest)  # texels stay square
    return replace(
        with_vertices(mesh, origin, faces),
        uvs=np.clip(np.nan_to_num(uvs), 0, 1).astype(np.float32),
        texture=None,
        normal_map=None,
    )


def _unit_size(vertices: np.ndarray) -> np.ndarray:
    """Vertices in a box of side 1: xatlas takes edges shorter than its own epsilon for none."""
    low = vertices.min(0)
    unit: np.ndarray = ((vertices - low) / max(float(np.ptp(vertices, axis=0).max()), 1e-30)).astype(np.float32)
    return unit


def charts_of(mesh: Mesh) -> np.ndarray:
    """The number of each face's chart, [F] int32: faces that share vertices, which are doubled at seams."""
    return components(mesh.faces, len(mesh.vertices)).astype(np.int32)
