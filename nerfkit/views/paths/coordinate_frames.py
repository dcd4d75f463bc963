"""In which frame a path file's coordinates are, and the way from there to the scene frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from nerfkit.data.scene import Scene
from nerfkit.data.similarity import Similarity
from nerfkit.data.transforms import applied
from nerfkit.errors import NerfkitError
from nerfkit.views.paths.framing import photo_poses

Kind = Literal["nerfstudio", "gltf", "poses"]
NAMES = ("scene", "world", "nerfstudio")
DATAPARSER = "dataparser_transforms.json"


def scene_from_file(file: Path, kind: Kind, scene: Scene | None, frame: str) -> Similarity:
    """The similarity ``scene_from_file`` of a path file.

    Args:
        kind: what kind of file it is.
        scene: None for splats without one, whose world is their scene.
        frame: one of these.

            - ``auto``: what is usual for the kind. nerfstudio's files: by the ``dataparser_transforms.json`` beside the
              file or up to two folders above it, else ``nerfstudio``. glTF and lists of poses: ``world``.
            - ``scene``: nerfkit's own, as ``scene.json`` has it.
            - ``world``: the coordinates of the poses that the scene was made from, of exported splats, and of a GLB by
              ``nerfkit mesh`` without ``--engine`` and ``--up y``.
            - ``nerfstudio``: what its data parser makes of the same photos where it is left at its defaults.
            - a file: nerfstudio's ``dataparser_transforms.json``, or the mesh (``.glb``, ``.obj``…, or the ``.json``
              beside it) of ``nerfkit mesh`` that the camera was laid around.

    Raises:
        NerfkitError: no such frame, or a file that says nothing about one.
    """
    world = Similarity.identity() if scene is None else scene.scene_from_world
    if frame == "auto":
        frame = _usual(file, kind)
    if frame == "scene":
        return Similarity.identity()
    if frame == "world":
        return world
    if frame == "nerfstudio":
        if scene is None or not scene.views:
            raise NerfkitError(
                f"{file}: nerfstudio's own frame follows from the photos; give their run, or --path-frame"
            )
        return world.compose(nerfstudio_from_world(scene).inverse())
    return _by_file(Path(frame), world)


def nerfstudio_from_world(scene: Scene) -> Similarity:
    """nerfstudio's normalisation of a scene's photos, by the defaults of its data parser.

    ``nerfstudio/cameras/camera_utils.py``, ``auto_orient_and_center_poses`` with method "up" and centre "poses": the
    smallest rotation that brings the mean of the cameras' up vectors to +Z, the mean of their places to the origin;
    then a scale that brings their largest coordinate to 1. It starts from the coordinates of ``transforms.json``, so
    that its ``applied_transform`` counts where the file is there still.
    """
    file_from_world = _file_from_world(scene.source)
    poses = file_from_world.compose(scene.scene_from_world.inverse()).poses(photo_poses(scene))
    up = torch.nn.functional.normalize(-poses[:, :3, 1].mean(0), dim=0)
    rotation = _smallest_rotation(up, torch.tensor([0.0, 0, 1], dtype=torch.float64))
    center = poses[:, :3, 3].mean(0)
    turned = (poses[:, :3, 3] - center) @ rotation.T
    scale = 1 / max(float(turned.abs().max()), 1e-12)
    return Similarity(scale, rotation, -scale * (rotation @ center)).compose(file_from_world)


def _smallest_rotation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The rotation [3, 3] of unit vector a to b about their common normal (Rodrigues)."""
    normal, cosine = torch.linalg.cross(a, b), float(a @ b)
    sine = float(normal.norm())
    if sine < 1e-9:
        return torch.eye(3, dtype=torch.float64) if cosine > 0 else torch.diag(torch.tensor([1.0, -1, -1]).double())
    x, y, z = (normal / sine).tolist()
    k = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + sine * k + (1 - cosine) * (k @ k)


def _usual(file: Path, kind: Kind) -> str:
    if kind != "nerfstudio":
        return "world"
    for folder in file.resolve().parents[:3]:
        if (folder / DATAPARSER).is_file():
            return str(folder / DATAPARSER)
    return "nerfstudio"


def _by_file(file: Path, scene_from_world: Similarity) -> Similarity:
    """By nerfstudio's ``dataparser_transforms.json`` or by the description beside a mesh."""
    if not file.name:  # "", "." or "/"
        raise NerfkitError(
            f"--path-frame {file}: no such frame; use auto, {', '.join(NAMES)}, or a file that describes one"
        )
    described = file if file.suffix.lower() == ".json" else file.with_suffix(".json")
    data = _json(described, file)
    try:
        if "gltf_from_scene" in data:
            return Similarity.from_json(data["gltf_from_scene"]).inverse()
        transform = np.array(data["transform"], np.float64)  # [3, 4]
        scale = float(data["scale"])
        u, _, vt = np.linalg.svd(transform[:, :3])
        file_from_world = Similarity(scale, torch.from_numpy(u @ vt), scale * torch.from_numpy(transform[:, 3]))
        if not np.isfinite(transform).all() or not scale > 0:
            raise ValueError("numbers that are not finite")
        return scene_from_world.compose(file_from_world.inverse())
    except (KeyError, TypeError, ValueError, IndexError, np.linalg.LinAlgError):
        raise NerfkitError(
            f"{described}: describes no frame; give {', '.join(NAMES)}, a mesh by nerfkit mesh, or a {DATAPARSER}"
        ) from None


def _json(file: Path, named: Path) -> dict[str, Any]:
    if not file.is_file():
        beside = "" if file == named else f" ({file.name} is not beside it)"
        raise NerfkitError(
            f"{named}: no such frame{beside}; use auto, {', '.join(NAMES)}, or a file that describes one"
        )
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise NerfkitError(f"{file}: not valid JSON ({error}); write it again") from None
    return data if isinstance(data, dict) else {}


def _file_from_world(source: Path) -> Similarity:
    """``applied_transform`` of the file that a scene was read from; the identity where there is none any more."""
    file = source if source.suffix == ".json" else source / "transforms.json"
    if not file.is_file():
        return Similarity.identity()
    try:
        data = json.loads(file.read_text())
    except (OSError, ValueError, RecursionError):
        return Similarity.identity()
    return applied(file, data) if isinstance(data, dict) else Similarity.identity()
