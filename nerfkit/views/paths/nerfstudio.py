"""nerfstudio's camera-path JSON, as its viewer saves it and ``ns-render camera-path`` reads it.

The format is what ``nerfstudio/viewer/render_panel.py`` writes and ``nerfstudio/cameras/camera_paths.py`` reads: poses
are camera-to-world with OpenGL's axes, row by row; ``fov`` is vertical and in degrees; ``keyframes`` have each a
``matrix``, and ``camera_path`` has the frames between them. ``camera_type`` is of all frames; omnidirectional is
equirectangular with a picture for each eye above each other. A keyframe's ``override_transition_sec`` (else
``default_transition_sec``) is the time from the keyframe before it; in a cycle that of the first one is the way back.
The older viewer (its ``CameraPanel.jsx``) wrote a keyframe's ``matrix`` as a string of column by column.

What the format lacks is in ``nerfkit``, which nerfstudio passes over: the frame of the coordinates, easings, constant
speed.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.views.paths import checks
from nerfkit.views.paths.camera_path import CAMERA_TYPES, EASINGS, CameraPath, CameraType, Easing, Keyframe
from nerfkit.views.paths.framing import Size

FRAMES = ("scene", "world", "nerfstudio")
VERSION = 1
LARGEST = 1 << 14  # pixels: more than any video has
TRANSITION = 0.5  # seconds: nerfstudio's default


def is_nerfstudio(data: Any) -> bool:
    return isinstance(data, dict) and ("camera_path" in data or "keyframes" in data)


def parse(file: Path, data: dict[str, Any], prefer: Literal["frames", "keyframes"] = "frames") -> CameraPath:
    """The path of a camera-path JSON, in the file's own frame.

    Args:
        prefer: of a file by nerfstudio, frames: the very frames that it renders, each a keyframe. keyframes: those that
            were laid, between which our own curve is a little other than nerfstudio's. A file by nerfkit is always
            read by its keyframes, which give the very same path again.
    """
    extras = data.get("nerfkit")
    if extras is not None and (not isinstance(extras, dict) or extras.get("version") != VERSION):
        raise NerfkitError(f"{file}: its 'nerfkit' part is of another version; read it with the nerfkit that wrote it")
    by_keys = bool(data.get("keyframes")) and (
        extras is not None or prefer == "keyframes" or not data.get("camera_path")
    )
    fps = checks.number(file, "fps", data.get("fps", 30), 0, 1000)
    loop, size, kind = bool(data.get("is_cycle", False)), _size(file, data), _camera_type(file, data)
    if not by_keys:
        frames = checks.count(file, "frames in 'camera_path'", data.get("camera_path"))
        keys = [
            _keyframe(file, f"frame {index} of camera_path", frame, "camera_to_world", index / fps)
            for index, frame in enumerate(frames)
        ]
        return CameraPath(tuple(keys), loop, 1 / fps, fps, size=size, camera_type=kind)
    entries = checks.count(file, "keyframes", data["keyframes"])
    times, after = _times(file, data, entries)
    easings = _easings(file, extras, len(entries))
    keys = [
        _keyframe(file, f"keyframe {index}", entry, "matrix", time, easing)
        for index, (entry, time, easing) in enumerate(zip(entries, times, easings, strict=True))
    ]
    tension = checks.number(file, "smoothness_value", data.get("smoothness_value") or 0.0, -10, 10)
    ours = extras or {}
    return CameraPath(
        tuple(keys), loop, after, fps, min(1.0, max(0.0, tension)), bool(ours.get("constant_speed", False)),
        bool(ours.get("ease", False)), size, kind,
    )  # fmt: skip


def frame_of(file: Path, data: dict[str, Any]) -> str | None:
    """The frame that a file by nerfkit names; None for others."""
    extras = data.get("nerfkit")
    if extras is None:
        return None
    if extras.get("frame") not in FRAMES:
        raise NerfkitError(f"{file}: nerfkit.frame must be one of {', '.join(FRAMES)}; correct it")
    return str(extras["frame"])


def build(path: CameraPath, size: Size, frame: str, file_from_scene: Similarity) -> dict[str, Any]:
    """The JSON of a path, in the named frame."""
    times = [key.time for key in path.keyframes]
    steps = [path.after if path.loop else 0.0, *np.diff(times).tolist()]
    fovs = [math.degrees(key.fov) for key in path.keyframes]
    aspect = size[0] / size[1]
    cameras = path.sample(path.frames, size)
    frame_fovs = np.degrees(2 * np.arctan(size[1] / 2 / cameras.intrinsics[:, 1].double().numpy())).tolist()
    frames = file_from_scene.poses(cameras.world_from_cam.double()).numpy() @ checks.FLIP
    return {
        "default_fov": fovs[0],
        "default_transition_sec": float(np.median(steps[1:])) if len(steps) > 1 else TRANSITION,
        "keyframes": [
            {
                "matrix": (file_from_scene.poses(key.world_from_cam).numpy() @ checks.FLIP).reshape(-1).tolist(),
                "fov": fov,
                "aspect": aspect,
                "override_transition_enabled": bool(step > 0),
                "override_transition_sec": step if step > 0 else None,
            }
            for key, fov, step in zip(path.keyframes, fovs, steps, strict=True)
        ],
        "camera_type": path.camera_type,
        "render_height": size[1],
        "render_width": size[0],
        "fps": path.fps,
        "seconds": path.seconds,
        "is_cycle": path.loop,
        "smoothness_value": path.tension,
        "camera_path": [
            {"camera_to_world": pose.reshape(-1).tolist(), "fov": fov, "aspect": aspect}
            for pose, fov in zip(frames, frame_fovs, strict=True)
        ],
        "nerfkit": {
            "version": VERSION,
            "frame": frame,
            "after": path.after,
            "easings": [key.easing for key in path.keyframes],
            "constant_speed": path.constant_speed,
            "ease": path.ease,
        },
    }


def _keyframe(file: Path, what: str, entry: Any, pose: str, time: float, easing: Easing = "linear") -> Keyframe:
    if not isinstance(entry, dict) or pose not in entry:
        raise NerfkitError(f"{file}: {what} has no {pose!r}; write the camera path again")
    world_from_cam = checks.rigid(file, what, _matrix(file, what, entry[pose]) @ checks.FLIP)
    return Keyframe(world_from_cam, checks.fov(file, f"fov of {what}", entry.get("fov", 50.0)), time, easing)


def _matrix(file: Path, what: str, values: Any) -> NDArray[np.float64]:
    """A matrix row by row, or column by column, which the place of its zeros tells."""
    if isinstance(values, str):
        try:
            values = json.loads(values)
        except ValueError:
            raise NerfkitError(f"{file}: {what} has a matrix that is no list of numbers; write it again") from None
    found = checks.matrix(file, what, values)
    return found.T if np.abs(found[:3, 3]).max() == 0 and np.abs(found[3, :3]).max() > 0 else found


def _times(file: Path, data: dict[str, Any], entries: list[Any]) -> tuple[list[float], float]:
    """The keyframes' times, and the time behind the last one."""
    steps = [_transition(file, data, entry, index) for index, entry in enumerate(entries)]
    extras = data.get("nerfkit")
    if extras is not None:
        after = checks.number(file, "nerfkit.after", extras.get("after", 0.0), -1e-9, 1e6)
        return [0.0, *np.cumsum(steps[1:]).tolist()], max(0.0, after)
    known = "default_transition_sec" in data or any(
        isinstance(e, dict) and e.get("override_transition_sec") for e in entries
    )
    after = steps[0] if data.get("is_cycle") else 0.0
    if not known and data.get("seconds") is not None:  # the older viewer spreads keyframes evenly over its seconds
        spans = len(entries) if data.get("is_cycle") else max(1, len(entries) - 1)
        step = checks.number(file, "seconds", data["seconds"], 0, 1e6) / spans
        steps, after = [step] * len(entries), step if data.get("is_cycle") else 0.0
    return [0.0, *np.cumsum(steps[1:]).tolist()], after


def _transition(file: Path, data: dict[str, Any], entry: Any, index: int) -> float:
    value = data.get("default_transition_sec", TRANSITION)
    if isinstance(entry, dict) and entry.get("override_transition_enabled") and entry.get("override_transition_sec"):
        value = entry["override_transition_sec"]
    return checks.number(file, f"the transition of keyframe {index}", value, 0, 1e6)


def _easings(file: Path, extras: dict[str, Any] | None, count: int) -> list[Easing]:
    found = ["linear"] * count if extras is None else extras.get("easings")
    if not isinstance(found, list) or len(found) != count:
        raise NerfkitError(f"{file}: nerfkit.easings must name one easing for each keyframe; write the path again")
    for easing in found:
        if easing not in EASINGS:
            raise NerfkitError(f"{file}: unknown easing {str(easing)[:40]!r}; use {', '.join(EASINGS)}")
    return found


def _size(file: Path, data: dict[str, Any]) -> Size | None:
    if data.get("render_width") is None or data.get("render_height") is None:
        return None
    width, height = (checks.number(file, key, data[key], 0, LARGEST) for key in ("render_width", "render_height"))
    return max(1, round(width)), max(1, round(height))


def _camera_type(file: Path, data: dict[str, Any]) -> CameraType:
    name = str(data.get("camera_type", "perspective")).lower()
    if name not in CAMERA_TYPES:
        raise NerfkitError(f"{file}: camera_type {name[:40]!r} is not known; use {', '.join(CAMERA_TYPES)}")
    found: CameraType = name  # type: ignore[assignment]
    return found
