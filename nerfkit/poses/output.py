"""A COLMAP model in the formats of the field: COLMAP binary, nerfstudio's ``transforms.json``, a point PLY."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nerfkit.files import atomic, write_text

if TYPE_CHECKING:
    import pycolmap

FILES = ("colmap/sparse/0/cameras.bin", "transforms.json", "sparse_pc.ply", "poses.json")
# COLMAP's camera models by the names their distortion has in transforms.json, in COLMAP's order of parameters.
DISTORTION = {
    "SIMPLE_PINHOLE": (), "PINHOLE": (), "SIMPLE_RADIAL": ("k1",), "RADIAL": ("k1", "k2"),
    "OPENCV": ("k1", "k2", "p1", "p2"), "OPENCV_FISHEYE": ("k1", "k2", "k3", "k4"),
}  # fmt: skip


def clear(out: Path) -> None:
    """Takes the results away, the report first: what is being made anew must not look done."""
    for name in reversed(FILES):
        (out / name).unlink(missing_ok=True)


def write(out: Path, model: pycolmap.Reconstruction, photo_folder: Path) -> None:
    """Writes everything but the report. The world frame is COLMAP's in all files."""
    with atomic(out / "colmap" / "sparse" / "0") as partial:
        partial.mkdir()
        model.write_binary(partial)
    write_points(out / "sparse_pc.ply", *points(model))
    write_text(out / "transforms.json", json.dumps(transforms(model, photo_folder, out), indent=1) + "\n")


def transforms(model: pycolmap.Reconstruction, photo_folder: Path, out: Path) -> dict[str, Any]:
    """``transforms.json``: camera-to-world with OpenGL camera axes (x right, y up, z backward).

    One camera's numbers stand at the top, several cameras' in each frame. ``applied_transform`` is the
    identity: the points of ``ply_file_path`` lie in the very same frame.
    """
    images = sorted((model.images[i] for i in model.reg_image_ids()), key=lambda image: image.name)
    cameras = {image.camera_id: intrinsics(image.camera) for image in images}
    single = len(cameras) == 1
    frames = []
    for image in images:
        world_from_cam = np.eye(4)
        world_from_cam[:3] = image.cam_from_world().inverse().matrix()
        frame = {
            "file_path": relative(photo_folder / image.name, out),
            "transform_matrix": (world_from_cam * [1.0, -1.0, -1.0, 1.0]).tolist(),
            "colmap_im_id": image.image_id,
        }
        frames.append(frame if single else {**cameras[image.camera_id], **frame})
    shared = next(iter(cameras.values()))
    return {
        **(shared if single else {"camera_model": shared["camera_model"]}),
        "applied_transform": np.eye(4)[:3].tolist(),
        "ply_file_path": "sparse_pc.ply",
        "frames": frames,
    }


def intrinsics(camera: pycolmap.Camera) -> dict[str, Any]:
    """A camera in nerfstudio's words. Weaker models become OPENCV with zeros, which is the same camera."""
    names = DISTORTION[camera.model_name]
    fisheye = camera.model_name == "OPENCV_FISHEYE"
    distortion = dict.fromkeys(DISTORTION["OPENCV_FISHEYE" if fisheye else "OPENCV"], 0.0)
    extra = [camera.params[i] for i in camera.extra_params_idxs()]
    distortion.update({name: float(value) for name, value in zip(names, extra, strict=True)})
    return {
        "camera_model": "OPENCV_FISHEYE" if fisheye else "OPENCV",
        "w": camera.width, "h": camera.height,
        "fl_x": float(camera.focal_length_x), "fl_y": float(camera.focal_length_y),
        "cx": float(camera.principal_point_x), "cy": float(camera.principal_point_y),
        **distortion,
    }  # fmt: skip


def relative(path: Path, folder: Path) -> str:
    """``path`` from ``folder`` where both lie under one folder below the root, so that they can move together;
    else the absolute path. Always with forward slashes."""
    path, folder = Path(os.path.abspath(path)), Path(os.path.abspath(folder))
    try:
        shared = Path(os.path.commonpath([path, folder]))
    except ValueError:  # two drives
        return path.as_posix()
    return path.as_posix() if shared == Path(shared.anchor) else Path(os.path.relpath(path, folder)).as_posix()


def points(model: pycolmap.Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    """Points [P, 3] float64 in the world frame and their colours [P, 3] uint8, by COLMAP's point id."""
    items = [point for _, point in sorted(model.points3D.items())]
    xyz = np.array([point.xyz for point in items], np.float64).reshape(-1, 3)
    rgb = np.array([point.color for point in items], np.uint8).reshape(-1, 3)
    return xyz, rgb


def write_points(path: Path, xyz: np.ndarray, rgb: np.ndarray) -> None:
    """A binary PLY with x y z (float) and red green blue (uchar)."""
    row = np.dtype([*((axis, "<f4") for axis in "xyz"), *((name, "u1") for name in ("red", "green", "blue"))])
    rows = np.empty(len(xyz), row)
    for i, axis in enumerate("xyz"):
        rows[axis] = xyz[:, i]
    for i, name in enumerate(("red", "green", "blue")):
        rows[name] = rgb[:, i]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(xyz)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {name}" for name in ("red", "green", "blue")]
    with atomic(path) as partial:
        partial.write_bytes("\n".join([*header, "end_header\n"]).encode() + rows.tobytes())
