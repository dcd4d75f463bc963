"""Lists of camera poses as paths: JSON matrices, ``transforms.json``, TUM trajectories, COLMAP's ``images.txt``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nerfkit.data.transforms import applied
from nerfkit.errors import NerfkitError
from nerfkit.limits import is_number
from nerfkit.views.paths import checks
from nerfkit.views.paths.camera_path import CameraPath, Keyframe

FPS = 30.0  # of a list without times: each pose is a frame
SLOWEST, FASTEST = 10.0, 60.0  # poses a second that are frames; frames are made between slower ones


def parse_list(file: Path, data: list[Any], fov: float) -> CameraPath:
    """A JSON list of camera-to-world matrices [4, 4] or [3, 4] with OpenCV's axes, each a frame.

    Entries may also be objects with ``camera_to_world``, ``transform_matrix`` or ``world_from_cam``, a vertical ``fov``
    in degrees, and a ``time`` in seconds.

    Args:
        fov: vertical field of view, radians, of poses that name none.
    """
    entries = checks.count(file, "poses", data)
    keys: list[tuple[Any, float, float]] = []
    for index, entry in enumerate(entries):
        what, own, time = f"pose {index}", fov, index / FPS
        if isinstance(entry, dict):
            names = [n for n in ("world_from_cam", "camera_to_world", "transform_matrix") if n in entry]
            if not names:
                raise NerfkitError(f"{file}: {what} has no 'world_from_cam'; write a matrix of 4 rows of 4 numbers")
            own = checks.fov(file, f"fov of {what}", entry["fov"]) if "fov" in entry else fov
            time = checks.number(file, f"time of {what}", entry["time"], -1e9, 1e9) if "time" in entry else time
            entry = entry[names[0]]
        keys.append((checks.rigid(file, what, checks.matrix(file, what, entry)), own, time))
    return _path(file, keys)


def parse_transforms(file: Path, data: dict[str, Any], fov: float) -> CameraPath:
    """The frames of a ``transforms.json``, in its order; its photos need not be there.

    ``applied_transform`` and ``applied_scale`` are undone, as when it is read as a scene.
    """
    world_from_file = applied(file, data).inverse()
    keys = []
    for index, frame in enumerate(checks.count(file, "frames", data.get("frames"))):
        what = f"frame {index}"
        if not isinstance(frame, dict) or "transform_matrix" not in frame:
            raise NerfkitError(f"{file}: {what} has no 'transform_matrix'; write the file again")
        matrix = checks.matrix(file, what, frame["transform_matrix"])
        pose = world_from_file.poses(checks.rigid(file, what, matrix @ checks.FLIP))
        keys.append((pose, _fov(file, what, {**data, **frame}, fov), index / FPS))
    return _path(file, keys)


def _fov(file: Path, what: str, frame: dict[str, Any], fov: float) -> float:
    """The vertical field of view of a frame of a ``transforms.json``: by its angle, or by focal length and size."""

    def value(key: str, high: float = 1e9) -> float | None:
        return checks.number(file, f"{key} of {what}", frame[key], 0, high) if frame.get(key) is not None else None

    if (angle := value("camera_angle_y", math.pi)) is not None:
        return angle
    width, height = value("w"), value("h")
    focal = value("fl_y") or value("fl_x")
    if focal and height:
        return 2 * math.atan(height / 2 / focal)
    if (angle := value("camera_angle_x", math.pi)) is not None:
        return 2 * math.atan(math.tan(angle / 2) * (height / width if width and height else 1.0))
    return fov


def parse_text(file: Path, text: str, fov: float) -> CameraPath:
    """A TUM trajectory (``time tx ty tz qx qy qz qw``, camera to world) or COLMAP's ``images.txt`` (world to camera).

    Every image of COLMAP's is a frame, in the order of the names. Both have OpenCV's axes.
    """
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if lines and len(lines[0]) == 8:
        return _path(file, [_tum(file, index, words, fov) for index, words in enumerate(lines)])
    images = [[*words[:9], " ".join(words[9:])] for words in lines if _is_image(words)]
    if not images:
        raise NerfkitError(
            f"{file}: no camera path of a known format; expected nerfstudio's camera-path JSON, a glTF or GLB with a "
            "camera, a JSON list of matrices, transforms.json, a TUM trajectory, or COLMAP's images.txt"
        )
    images.sort(key=lambda words: words[9])
    keys = []
    for index, words in enumerate(images):
        w, x, y, z, *t = (checks.number(file, f"pose of {words[9][:60]}", word) for word in words[1:8])
        world_from_cam = np.linalg.inv(_pose(file, words[9][:60], [x, y, z, w], t).numpy())
        keys.append((checks.rigid(file, words[9][:60], world_from_cam), fov, index / FPS))
    return _path(file, keys)


def _tum(file: Path, index: int, words: list[str], fov: float) -> tuple[torch.Tensor, float, float]:
    if len(words) != 8:
        raise NerfkitError(f"{file}: pose {index} has {len(words)} numbers, a TUM trajectory has 8: time, place, turn")
    time, *rest = (checks.number(file, f"pose {index}", word) for word in words)
    return _pose(file, f"pose {index}", rest[3:], rest[:3]), fov, time


def _pose(file: Path, what: str, xyzw: list[float], translation: list[float]) -> torch.Tensor:
    from scipy.spatial.transform import Rotation

    if not np.linalg.norm(xyzw) > 1e-6:
        raise NerfkitError(f"{file}: {what} has a quaternion of no length; write the file again")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = Rotation.from_quat(xyzw).as_matrix(), translation
    return checks.rigid(file, what, matrix)


def _path(file: Path, keys: list[tuple[torch.Tensor, float, float]]) -> CameraPath:
    if len(keys) > checks.MOST:
        raise NerfkitError(f"{file}: has {len(keys)} poses; a camera path may have {checks.MOST}")
    times = checks.rising(file, [time for _, _, time in keys])
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / FPS
    made = tuple(Keyframe(pose, fov, time) for (pose, fov, _), time in zip(keys, times, strict=True))
    if 1 / step < SLOWEST * (1 - 1e-6):
        return CameraPath(made, after=1 / FPS, fps=FPS)
    return CameraPath(made, after=step, fps=min(1 / step, FASTEST))


def _is_image(words: Sequence[str]) -> bool:
    """Whether a line of COLMAP's is that of an image: its points' come in threes, and names may have spaces."""
    return len(words) > 9 and (len(words) % 3 != 0 or not all(map(is_number, words)))
