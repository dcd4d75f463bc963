"""Asset → files. The format is that of the suffix."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.mesh.assets import glb, obj, ply, usd
from nerfkit.mesh.assets.asset import Asset, safe_name
from nerfkit.mesh.assets.engines import FORMATS, Engine, engine
from nerfkit.mesh.assets.images import ImageFormat
from nerfkit.mesh.assets.parts import Document, documents
from nerfkit.mesh.requirements import require

if TYPE_CHECKING:
    from nerfkit.data.similarity import Similarity

_YUP_FROM_ZUP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def check_suffix(path: Path, engine_name: str | None = None, image_format: ImageFormat = "jpeg") -> str:
    """The format of an output path.

    Raises:
        NerfkitError: it is none that can be written, or none that the engine reads, or it can't hold such images.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise NerfkitError(
            f"{path}: cannot write a mesh as {suffix or 'a file without suffix'}; use {', '.join(FORMATS)}"
        )
    engine(engine_name).check(path, image_format)
    if image_format == "webp" and suffix in (".obj", ".usdz"):
        raise NerfkitError(f"{path}: {suffix} files have no WebP textures; use --image-format jpeg or png")
    return suffix


def write_asset(
    path: Path,
    asset: Asset,
    engine_name: str | None = None,
    image_format: ImageFormat = "jpeg",
    yup_from_asset: np.ndarray | None = None,
) -> list[Path]:
    """Writes an asset as the engine expects it: axes, unit, names, and which meshes share a file.

    Without an engine the coordinates are the asset's own; ``yup_from_asset`` [3, 3] is a rotation that turns them
    upright: the root nodes' rotation in a GLB, baked into the coordinates of the other formats.

    Files appear atomically, the one named last. Companions of another writing (a coarser level that there is no more)
    are left alone.

    Returns:
        The files: ``path`` first, then further levels, collision shapes, materials and images.

    Raises:
        NerfkitError: a suffix that the engine doesn't read, or files that cannot be written.
    """
    suffix = check_suffix(path, engine_name, image_format)
    target = engine(engine_name)
    rotation = yup_from_asset if engine_name is None else None
    if engine_name is not None:
        asset = _turned(asset, *_axes(target, suffix))
    elif rotation is not None and suffix != ".glb":
        asset, rotation = _turned(asset, rotation, 1.0), None
    files: list[Path] = []
    with ExitStack() as stack:  # which renames backwards: what refers to others appears after them
        for label, document in documents(asset, target, suffix).items():
            out = path.with_name(f"{path.stem}{label}{path.suffix}")
            if suffix == ".glb":
                name = f"{asset.name}{label}"
                data = {out: glb.encode(document, name, image_format, rotation, asset.metric)}
            elif suffix == ".obj":
                data = _obj(out, document, image_format, target.obj_bump)
            elif suffix == ".ply":
                data = {out: ply.encode(document)}
            else:
                usd.write(stack.enter_context(atomic(out)), document, asset.name, image_format)
                files.append(out)
                continue
            for file, content in data.items():
                stack.enter_context(atomic(file)).write_bytes(content)
            files += data
    return files


def write(path: Path, mesh: Mesh, yup_from_world: np.ndarray | None = None) -> None:
    """Writes a lone mesh in its own coordinates: :func:`write_asset` without an engine.

    Raises:
        NerfkitError: unknown suffix, or the file cannot be written.
    """
    check_suffix(path)
    write_asset(path, Asset(path.stem, [mesh]), yup_from_asset=yup_from_world)


def read(path: Path) -> Mesh:
    """Reads the shape of a mesh file of any format that trimesh or OpenUSD knows, as a reader without orders would see
    it; its parts are joined, nodes applied.

    Raises:
        NerfkitError: no such file, or no mesh in it.
    """
    trimesh = require("trimesh")
    if not path.is_file():
        raise NerfkitError(f"{path}: no such file")
    if path.suffix.lower() == ".usdz":
        mesh = usd.read(path)
    else:
        try:
            loaded = trimesh.load(path, force="mesh", process=False)
        except Exception as error:
            raise NerfkitError(f"{path}: cannot be read as a mesh ({error})") from None
        mesh = Mesh(np.asarray(loaded.vertices), np.asarray(loaded.faces))
    if not len(mesh.faces):
        raise NerfkitError(f"{path}: has no faces")
    return mesh


def upright(scene_from_world: Similarity) -> np.ndarray:
    """``yup_from_world`` [3, 3]: the scene frame is +Z up, so this is its rotation and then a quarter turn."""
    rotation: np.ndarray = _YUP_FROM_ZUP @ scene_from_world.rotation.numpy()
    return rotation


def gltf_frame(asset_from_scene: Similarity, yup_from_asset: np.ndarray | None, engine_name: str | None) -> Similarity:
    """``gltf_from_scene``: where a GLB by :func:`write_asset` of the same arguments has the scene, nodes applied."""
    from nerfkit.data.similarity import Similarity

    rotation = _YUP_FROM_ZUP if engine_name is not None else np.eye(3) if yup_from_asset is None else yup_from_asset
    turn = Similarity(1.0, torch.from_numpy(rotation), torch.zeros(3))
    return turn.compose(asset_from_scene)


def _axes(target: Engine, suffix: str) -> tuple[np.ndarray, float]:
    """The rotation and the scale from the asset frame to a file for this engine."""
    if suffix == ".ply":
        return np.eye(3), 1.0  # of the engines only Blender reads it, +Z up
    if suffix == ".obj":
        return (np.eye(3) if target.obj_up == "z" else _YUP_FROM_ZUP), target.obj_scale
    return _YUP_FROM_ZUP, 1.0


def _turned(asset: Asset, rotation: np.ndarray, scale: float) -> Asset:
    def turn(mesh: Mesh) -> Mesh:
        vertices = (scale * (mesh.vertices.astype(np.float64) @ rotation.T)).astype(np.float32)
        normals = None if mesh.normals is None else (mesh.normals @ rotation.T).astype(np.float32)
        return replace(mesh, vertices=vertices, normals=normals)

    return replace(asset, levels=[turn(mesh) for mesh in asset.levels], collision=[turn(m) for m in asset.collision])


def _obj(out: Path, document: Document, image_format: ImageFormat, bump: bool) -> dict[Path, bytes]:
    stem = safe_name(out.stem)
    files = obj.encode(document, stem, image_format, bump)
    return {out if label == ".obj" else out.with_name(stem + label): data for label, data in files.items()}
