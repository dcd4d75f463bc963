"""PLY, which has no textures: what there is of colour goes to the vertices."""

from __future__ import annotations

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.geometry import vertex_normals
from nerfkit.mesh.assets.parts import Document
from nerfkit.mesh.requirements import require


def encode(document: Document) -> bytes:
    """A binary PLY of all meshes of a file as one, with normals and colours."""
    trimesh = require("trimesh")
    bodies = [
        trimesh.Trimesh(
            part.mesh.vertices,
            part.mesh.faces,
            vertex_normals=vertex_normals(part.mesh) if part.mesh.normals is None else part.mesh.normals,
            vertex_colors=vertex_colors(part.mesh),
            process=False,
        )
        for part in document.parts()
    ]
    whole = bodies[0] if len(bodies) == 1 else trimesh.util.concatenate(bodies)
    return bytes(whole.export(file_type="ply", vertex_normal=True))


def vertex_colors(mesh: Mesh) -> np.ndarray | None:
    """Colours [V, 3] uint8: the mesh's own, or its texture's at the vertices."""
    if mesh.colors is not None or mesh.texture is None or mesh.uvs is None:
        return mesh.colors
    height, width = mesh.texture.shape[:2]
    column = np.clip((mesh.uvs[:, 0] * width).astype(int), 0, width - 1)
    row = np.clip(((1 - mesh.uvs[:, 1]) * height).astype(int), 0, height - 1)
    colors: np.ndarray = mesh.texture[row, column]
    return colors
