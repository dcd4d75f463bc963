"""Mesh → file. The format is that of the suffix."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.mesh import glb
from nerfkit.mesh.requirements import require

if TYPE_CHECKING:
    from nerfkit.data.similarity import Similarity

FORMATS = (".glb", ".ply", ".obj")

_YUP_FROM_ZUP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def check_suffix(path: Path) -> str:
    """The format of an output path.

    Raises:
        NerfkitError: it is none that can be written.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise NerfkitError(
            f"{path}: cannot write a mesh as {suffix or 'a file without suffix'}; use {', '.join(FORMATS)}"
        )
    return suffix


def write(path: Path, mesh: Mesh, yup_from_world: np.ndarray | None = None) -> None:
    """Writes a mesh atomically.

    Coordinates are those of the mesh. ``yup_from_world`` [3, 3] is a rotation that turns them upright for engines,
    which take +Y as up: the root node's rotation in a GLB, baked into the coordinates of the other formats.

    Raises:
        NerfkitError: unknown suffix, or the file cannot be written.
    """
    suffix = check_suffix(path)
    if suffix == ".glb":
        data = glb.encode(mesh, yup_from_world)
    else:
        data = _encode_with_trimesh(mesh, suffix[1:], yup_from_world)
    with atomic(path) as partial:
        partial.write_bytes(data)


def read(path: Path) -> Mesh:
    """Reads the shape of a mesh file of any format that trimesh knows; its parts are joined, nodes applied.

    Raises:
        NerfkitError: no such file, or no mesh in it.
    """
    trimesh = require("trimesh")
    if not path.is_file():
        raise NerfkitError(f"{path}: no such file")
    try:
        loaded = trimesh.load(path, force="mesh", process=False)
    except Exception as error:
        raise NerfkitError(f"{path}: cannot be read as a mesh ({error})") from None
    if not len(loaded.faces):
        raise NerfkitError(f"{path}: has no faces")
    return Mesh(np.asarray(loaded.vertices), np.asarray(loaded.faces))


def upright(scene_from_world: Similarity) -> np.ndarray:
    """``yup_from_world`` [3, 3]: the scene frame is +Z up, so this is its rotation and then a quarter turn."""
    rotation: np.ndarray = _YUP_FROM_ZUP @ scene_from_world.rotation.numpy()
    return rotation


def _encode_with_trimesh(mesh: Mesh, file_type: str, yup_from_world: np.ndarray | None) -> bytes:
    trimesh = require("trimesh")
    rotation = np.eye(3) if yup_from_world is None else yup_from_world
    normals = None if mesh.normals is None else mesh.normals @ rotation.T
    body = trimesh.Trimesh(
        mesh.vertices @ rotation.T,
        mesh.faces,
        vertex_normals=normals,
        vertex_colors=mesh.colors,
        process=False,
    )
    options: dict[str, Any] = {"include_normals": True}
    if file_type == "ply":
        options = {"vertex_normal": True}
    data = body.export(file_type=file_type, **options)
    return data.encode() if isinstance(data, str) else bytes(data)
