"""``transforms.json``: the format of instant-ngp and nerfstudio. OpenGL camera axes, camera-to-world."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.contracts import CameraModel, Cameras
from nerfkit.data.below import photos_below
from nerfkit.data.brown import reduce_brown
from nerfkit.data.fields import load_object
from nerfkit.data.points import read_ply
from nerfkit.data.raw import (
    PHOTO_SUFFIXES,
    RawScene,
    RawView,
    camera,
    finish,
    opencv_from_opengl,
    photo_file,
    upright_size,
)
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError

MODELS: dict[str, CameraModel] = {
    "PINHOLE": "pinhole",
    "SIMPLE_PINHOLE": "pinhole",
    "PERSPECTIVE": "pinhole",
    "SIMPLE_RADIAL": "opencv",
    "RADIAL": "opencv",
    "OPENCV": "opencv",
    "OPENCV_FISHEYE": "fisheye",
}


@dataclass(frozen=True)
class TransformsReader:
    """Reads ``transforms.json``, alone or in its folder.

    Values of a frame win over those of the whole file. ``images`` is another folder for the photos, in subfolders too,
    looked up by the longest end of their path (:func:`nerfkit.data.below.photos_below`). Paths of Windows, absolute
    ones too, are understood. nerfstudio's ``applied_transform`` and ``applied_scale`` are undone, points included, so
    that the world frame is the one the poses were estimated in.
    """

    images: Path | None = None

    def accepts(self, path: Path) -> bool:
        return path.suffix == ".json" or (path / "transforms.json").is_file()

    def read(self, path: Path) -> RawScene:
        """Raises NerfkitError: invalid JSON, no frames, no intrinsics, missing photos, poses that are not rigid."""
        file = path if path.is_file() else path / "transforms.json"
        data = load_json(file)
        world_from_file = applied(file, data).inverse()
        found = frames(file, data)
        paths = photo_paths(file, found, self.images)
        views = [self._view(file, merged(data, frame), path) for frame, path in zip(found, paths)]
        for view in views:
            view.camera = _moved(view.camera, world_from_file)
        points, colors = _points(file, data)
        points = world_from_file.points(torch.from_numpy(points)).numpy()
        return finish(RawScene(file, views, points, colors))

    def _view(self, file: Path, frame: Mapping[str, Any], path: Path) -> RawView:
        mask = frame.get("mask_path")
        if mask is not None and not isinstance(mask, str):
            raise NerfkitError(f"{file}: mask_path of {frame['file_path']} must be a path, got {mask!r}")
        return RawView(path, frame_camera(file, frame, path), photo_file(mask, [file.parent]) if mask else None)


def load_json(file: Path) -> dict[str, Any]:
    data = load_object(file, "cameras")
    if not isinstance(data, dict):
        raise NerfkitError(f"{file}: not a transforms.json (its top level must be an object with 'frames')")
    return data


def frames(file: Path, data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = data.get("frames")
    if not isinstance(found, list) or not found:
        raise NerfkitError(f"{file}: it has no 'frames'; list each photo with its file_path and transform_matrix")
    for index, frame in enumerate(found):
        if not isinstance(frame, dict) or not isinstance(frame.get("file_path"), str):
            raise NerfkitError(f"{file}: frame {index} has no 'file_path'; name its photo")
    return found


_GIVES = {"fl_x": "camera_angle_x", "camera_angle_x": "fl_x", "fl_y": "camera_angle_y", "camera_angle_y": "fl_y"}


def merged(data: Mapping[str, Any], frame: Mapping[str, Any]) -> dict[str, Any]:
    """A frame's values, and the file's that it leaves open; its angle of view wins over the file's focal length. What
    is null is not there."""
    own = {key: value for key, value in frame.items() if value is not None}
    return {key: value for key, value in data.items() if value is not None and _GIVES.get(key) not in own} | own


def photo_paths(file: Path, frames: Sequence[Mapping[str, Any]], images: Path | None) -> list[Path]:
    """The photo of each frame; a path without suffix gets the first suffix of a file that is there.

    Raises:
        NerfkitError: two files below ``images`` fit a frame equally well.
    """
    if images is not None:
        return photos_below([frame["file_path"] for frame in frames], images)
    return [_photo_path(file, frame) for frame in frames]


def _photo_path(file: Path, frame: Mapping[str, Any]) -> Path:
    name = frame["file_path"].replace("\\", "/")
    path = Path(*(file.parent / name).parts)  # drops "./"
    if path.is_file():
        return path
    found = photo_file(name, [file.parent, file.parent / "images"])
    if found.is_file():
        return found
    return path if path.suffix.lower() in PHOTO_SUFFIXES else path.with_name(path.name + ".png")


def frame_camera(file: Path, frame: Mapping[str, Any], photo: Path) -> Cameras:
    """The camera [C = 1] of a frame whose values have been merged with those of the whole file."""
    pose = _matrix(file, frame, "transform_matrix", (4, 4))
    model = _model(file, frame)
    width, height = _size(file, frame, photo)
    fx, fy = _focal(file, frame, width, height)
    intrinsics = [fx, fy, _number(file, frame, "cx", width / 2), _number(file, frame, "cy", height / 2)]
    distortion: Tensor | None
    if model == "opencv":
        keys = ("k1", "k2", "k3", "k4", "p1", "p2")
        intrinsics, distortion = reduce_brown(
            str(file), intrinsics, width, height, *(_number(file, frame, key, 0) for key in keys)
        )
    else:
        distortion = _fisheye(file, frame) if model == "fisheye" else None
    return camera(opencv_from_opengl(pose), intrinsics, width, height, distortion, model)


def _model(file: Path, frame: Mapping[str, Any]) -> CameraModel:
    name = frame.get("camera_model")
    if name is None:
        return "fisheye" if frame.get("is_fisheye") else "opencv"
    if str(name).upper() not in MODELS:
        raise NerfkitError(f"{file}: camera_model {name} is not supported; use one of {', '.join(MODELS)}")
    return MODELS[str(name).upper()]


def _size(file: Path, frame: Mapping[str, Any], photo: Path) -> tuple[int, int]:
    if "w" not in frame or "h" not in frame:
        return upright_size(photo)
    width, height = (_number(file, frame, key, 0) for key in ("w", "h"))
    if not (1 <= width < 1 << 20 and 1 <= height < 1 << 20):
        raise NerfkitError(f"{file}: {frame['file_path']} has w {width:g} and h {height:g}; write its size in pixels")
    return int(width), int(height)


def _focal(file: Path, frame: Mapping[str, Any], width: int, height: int) -> tuple[float, float]:
    """``fl_x``/``fl_y`` in pixels, or ``camera_angle_x``/``camera_angle_y`` in radians over the whole side."""

    def of_axis(length: str, angle: str, size: int) -> float | None:
        if length in frame:
            return _number(file, frame, length, 0)
        if angle not in frame:
            return None
        radians = _number(file, frame, angle, 1)
        if not 0 < radians < math.pi:
            raise NerfkitError(
                f"{file}: {frame['file_path']} has {angle} {radians:g}; write the angle of view in radians, below pi"
            )
        return 0.5 * size / math.tan(0.5 * radians)

    fx, fy = of_axis("fl_x", "camera_angle_x", width), of_axis("fl_y", "camera_angle_y", height)
    fx, fy = (fy if fx is None else fx), (fx if fy is None else fy)
    if fx is None or fy is None:
        raise NerfkitError(
            f"{file}: no intrinsics for {frame['file_path']}; add fl_x (pixels) or camera_angle_x (radians)"
        )
    return fx, fy


def _fisheye(file: Path, frame: Mapping[str, Any]) -> Tensor:
    return torch.tensor([_number(file, frame, key, 0) for key in ("k1", "k2", "k3", "k4")], dtype=torch.float64)


def applied(file: Path, data: Mapping[str, Any]) -> Similarity:
    """``file_from_world`` of nerfstudio's ``applied_transform`` [3, 4] and ``applied_scale``."""
    data = merged(data, {})
    scale = _number(file, data, "applied_scale", 1)
    if not 0 < scale < math.inf:
        raise NerfkitError(f"{file}: applied_scale must be positive, got {scale:g}; write the scale that was applied")
    if "applied_transform" not in data:
        return Similarity(scale, torch.eye(3), torch.zeros(3))
    matrix = _matrix(file, data, "applied_transform", (3, 4))
    plausible = bool((np.abs(matrix) < 1e9).all())  # and finite
    own_scale = float(np.cbrt(np.linalg.det(matrix[:, :3]))) if plausible else 0.0
    if not own_scale > 0 or np.abs(matrix[:, :3] @ matrix[:, :3].T / own_scale**2 - np.eye(3)).max() > 1e-3:
        raise NerfkitError(f"{file}: applied_transform is not a similarity; write a rotation and a translation")
    rotation = torch.from_numpy(matrix[:, :3] / own_scale)
    return Similarity(scale * own_scale, rotation, scale * torch.from_numpy(matrix[:, 3]))


def _points(file: Path, data: Mapping[str, Any]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    if not data.get("ply_file_path"):
        return np.zeros((0, 3)), np.zeros((0, 3), np.uint8)
    return read_ply(file.parent / str(data["ply_file_path"]).replace("\\", "/"))


def _moved(cameras: Cameras, similarity: Similarity) -> Cameras:
    pose = similarity.poses(cameras.world_from_cam)
    return Cameras(pose, cameras.intrinsics, cameras.width, cameras.height, cameras.model, cameras.distortion)


def _matrix(file: Path, frame: Mapping[str, Any], key: str, shape: tuple[int, int]) -> NDArray[np.float64]:
    name = frame.get("file_path", "the file")
    try:
        matrix = np.array(frame[key], dtype=np.float64)
    except (KeyError, TypeError, ValueError):
        raise NerfkitError(
            f"{file}: {name} has no valid {key}; write it as {shape[0]} rows of {shape[1]} numbers"
        ) from None
    if matrix.shape == (3, 4) and shape == (4, 4):
        matrix = np.vstack([matrix, [0, 0, 0, 1]])
    if matrix.shape == (4, 4) and shape == (3, 4):
        matrix = matrix[:3]
    if matrix.shape != shape:
        raise NerfkitError(f"{file}: {key} of {name} must be {shape[0]}x{shape[1]}, got {matrix.shape}")
    return matrix


def _number(file: Path, frame: Mapping[str, Any], key: str, default: float) -> float:
    try:
        return float(frame.get(key, default))
    except (TypeError, ValueError):
        raise NerfkitError(f"{file}: {key} must be a number, got {frame[key]!r}") from None
