"""Writes a COLMAP model for other tools: COLMAP's own files, ``transforms.json`` and ``sparse_pc.ply``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nerfkit.files import atomic, write_text
from nerfkit.poses.frame import Similarity
from nerfkit.poses.worker import Tell

POINTS_FILE = "sparse_pc.ply"
FILES = ("transforms.json", POINTS_FILE, "poses.json", "poses.html", "colmap/sparse/0/images.bin")

# Where each of COLMAP's camera models has the parameters that transforms.json names.
_PARAMETERS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fl_x", "fl_y", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": ("fl_x", "fl_y", "cx", "cy", "k1", "k2", "k3", "k4"),
}
_OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])


def work(
    tell: Tell, model: str, folder: str, out: str, masks: Mapping[str, str], world_from_model: dict[str, Any]
) -> dict[str, Any]:
    """Writes the model read from ``model``, whose photos lie in ``folder``, into ``out``, in the world frame.

    ``masks``: files by photo.
    """
    import pycolmap

    reconstruction = pycolmap.Reconstruction(model)
    reconstruction.transform(pycolmap.Sim3d(Similarity.from_json(world_from_model).matrix()))
    target = Path(out)
    with atomic(target / "colmap") as partial:
        (partial / "sparse" / "0").mkdir(parents=True)
        reconstruction.write(str(partial / "sparse" / "0"))
    write_points(target / POINTS_FILE, reconstruction)
    frames = transforms(reconstruction, Path(folder), target, masks)
    write_text(target / "transforms.json", json.dumps(frames, indent=1) + "\n")  # last: now it is a scene
    tell(1, 1)
    return {}


def transforms(reconstruction: Any, folder: Path, out: Path, masks: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The content of ``transforms.json``: OpenGL camera axes, camera to world, in the model's world frame.

    Intrinsics are those of the whole file where all photos share them, else of each frame; so is the camera model.
    """
    images = sorted((image for image in reconstruction.images.values() if image.has_pose), key=lambda image: image.name)
    cameras = {image.camera_id: intrinsics(reconstruction.cameras[image.camera_id]) for image in images}
    shared = next(iter(cameras.values())) if len(cameras) == 1 else None
    frames = []
    for image in images:
        world_from_cam = np.eye(4)
        world_from_cam[:3] = image.cam_from_world().inverse().matrix()
        frames.append(
            {"file_path": _relative(folder / image.name, out)}
            | ({"mask_path": _relative(Path(masks[image.name]), out)} if masks and image.name in masks else {})
            | ({} if shared else cameras[image.camera_id])
            | {"transform_matrix": (world_from_cam @ _OPENGL_FROM_OPENCV).tolist()}
        )
    kinds = {number: _kind(reconstruction.cameras[number]) for number in cameras}
    if len(set(kinds.values())) > 1:
        for frame, image in zip(frames, images, strict=True):
            frame["camera_model"] = kinds[image.camera_id]
    return {
        "camera_model": kinds[images[0].camera_id],
        **(shared or {}),
        "ply_file_path": POINTS_FILE,
        "frames": frames,
    }


def _kind(camera: Any) -> str:
    return "OPENCV_FISHEYE" if camera.model.name == "OPENCV_FISHEYE" else "OPENCV"


def intrinsics(camera: Any) -> dict[str, float]:
    """``w h fl_x fl_y cx cy`` in pixels (pixel centres at +0.5) and the distortion of a pycolmap camera."""
    values = dict(zip(_PARAMETERS[camera.model.name], map(float, camera.params)))
    focal = values.pop("f", None)
    if focal is not None:
        values = {"fl_x": focal, "fl_y": focal} | values
    if camera.model.name != "OPENCV_FISHEYE":
        values = values | {key: values.get(key, 0.0) for key in ("k1", "k2", "p1", "p2")}
    return {"w": camera.width, "h": camera.height, **values}


def write_points(path: Path, reconstruction: Any) -> None:
    """The sparse points as a binary PLY."""
    points = list(reconstruction.points3D.values())
    table = np.zeros(
        len(points),
        [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")],
    )
    if points:
        xyz, rgb = np.array([point.xyz for point in points]), np.array([point.color for point in points])
        for axis, (position, color) in enumerate((("x", "red"), ("y", "green"), ("z", "blue"))):
            table[position], table[color] = xyz[:, axis], rgb[:, axis]
    properties = "".join(f"property float {axis}\n" for axis in "xyz")
    properties += "".join(f"property uchar {color}\n" for color in ("red", "green", "blue"))
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {len(table)}\n{properties}end_header\n"
    with atomic(path) as partial:
        partial.write_bytes(header.encode() + table.tobytes())


def _relative(path: Path, out: Path) -> str:
    try:
        return Path(os.path.relpath(path.resolve(), out.resolve())).as_posix()
    except ValueError:  # another drive
        return path.resolve().as_posix()
