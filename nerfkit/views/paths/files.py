"""Camera paths from files and to files; what a file is, its content tells."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from nerfkit.data.scene import Scene
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.files import write_text
from nerfkit.views.paths import checks, gltf, nerfstudio, poses
from nerfkit.views.paths.camera_path import CameraPath
from nerfkit.views.paths.coordinate_frames import Kind, scene_from_file
from nerfkit.views.paths.framing import Size, even_size, photo_fov

FOV = 0.87  # radians, 50 degrees: of poses without a field of view where there are no photos either


def read_path(
    file: Path, scene: Scene | None, frame: str = "auto", prefer: Literal["frames", "keyframes"] = "frames"
) -> CameraPath:
    """Reads a camera path into the scene frame: nerfstudio's camera-path JSON (also as :func:`write_path` writes it),
    a glTF or GLB with a camera, or a list of poses (JSON, ``transforms.json``, TUM, COLMAP's ``images.txt``).

    Args:
        scene: what it is a path through; None for splats without photos.
        frame: of the file's coordinates, where it does not say so itself:
            :func:`nerfkit.views.paths.coordinate_frames.scene_from_file`.
        prefer: :func:`nerfkit.views.paths.nerfstudio.parse`.

    Raises:
        NerfkitError: no such file, an unknown format, or whatever is wrong in it.
    """
    file = Path(file)
    path, kind, own = _parse(file, checks.read_bytes(file), FOV if scene is None else photo_fov(scene), prefer)
    return moved(path, scene_from_file(file, kind, scene, own if own and frame == "auto" else frame))


def write_path(
    file: Path, path: CameraPath, scene: Scene | None, frame: Literal["world", "scene", "nerfstudio"] = "world",
    size: Size | None = None,
) -> None:  # fmt: skip
    """Writes a path of the scene frame as nerfstudio's camera-path JSON, atomically; :func:`read_path` gives it back.

    Args:
        frame: of the coordinates in the file. world: fits whatever is trained and exported from the same poses.
            nerfstudio: fits a nerfstudio model of the same photos, trained with its data parser's defaults.
        size: of the frames; by default the path's own, or the photos'.

    Raises:
        NerfkitError: the file can't be written, or the path is too long.
    """
    if path.frames > checks.MOST:
        raise NerfkitError(
            f"{file}: {path.seconds:g} s at {path.fps:g} frames/s are {path.frames} frames; {checks.MOST} may be"
        )
    file_from_scene = scene_from_file(file, "nerfstudio", scene, frame).inverse()
    size = size or path.size or ((1280, 720) if scene is None else even_size(scene))
    data = nerfstudio.build(path, size, frame, file_from_scene)
    write_text(file, json.dumps(data, indent=1) + "\n")


def moved(path: CameraPath, b_from_a: Similarity) -> CameraPath:
    """A path in another frame."""
    keys = tuple(replace(key, world_from_cam=b_from_a.poses(key.world_from_cam.double())) for key in path.keyframes)
    return replace(path, keyframes=keys)


def _parse(file: Path, data: bytes, fov: float, prefer: Any) -> tuple[CameraPath, Kind, str | None]:
    """The path in the file's frame, the kind of file, and the frame that it names itself."""
    if data.startswith(gltf.MAGIC):
        return gltf.parse(file, *gltf.unpack_glb(file, data)), "gltf", None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise NerfkitError(f"{file}: no camera path (neither text nor a GLB); name a camera path's file") from None
    if text.lstrip()[0] not in "[{":
        return poses.parse_text(file, text, fov), "poses", None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NerfkitError(f"{file}: not valid JSON ({str(error)[:80]}); write the camera path again") from None
    if gltf.is_gltf(found):
        return gltf.parse(file, found, b""), "gltf", None
    if nerfstudio.is_nerfstudio(found):
        return nerfstudio.parse(file, found, prefer), "nerfstudio", nerfstudio.frame_of(file, found)
    if isinstance(found, list):
        return poses.parse_list(file, found, fov), "poses", None
    if "frames" in found:
        return poses.parse_transforms(file, found, fov), "poses", None
    raise NerfkitError(f"{file}: a JSON without 'camera_path', 'keyframes', 'frames' or glTF 'nodes'; no camera path")
