"""What the tests know of the still life: true cameras, true places, and the true frame of estimated poses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.data.similarity import Similarity, align

Array = NDArray[np.float64]


def cameras(still_life: Path) -> dict[str, Array]:
    """world_from_cam [4, 4] with OpenCV axes, metres, +Z up, by the photo's name."""
    frames = json.loads((still_life / "truth" / "transforms.json").read_text())["frames"]
    flip = np.diag([1.0, -1, -1, 1])
    return {Path(frame["file_path"]).name: np.array(frame["transform_matrix"]) @ flip for frame in frames}


def place(still_life: Path, name: str, x: float, y: float) -> Array:
    """The true point [3] that a held-out photo shows at a pixel, by its depth map."""
    file = still_life / "truth" / "depth" / name.replace(".jpg", ".png")
    depth = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)[int(y), int(x)] / 1000
    data = json.loads((still_life / "truth" / "transforms.json").read_text())
    ray = np.array([(x - data["cx"]) / data["fl_x"], (y - data["cy"]) / data["fl_y"], 1.0])
    pose = cameras(still_life)[name]
    return np.asarray(pose[:3, 3] + pose[:3, :3] @ (depth * ray))


def pixel(still_life: Path, name: str, point: Array) -> tuple[float, float]:
    """Where a photo shows a true point [3]."""
    data = json.loads((still_life / "truth" / "transforms.json").read_text())
    x, y, z = (np.linalg.inv(cameras(still_life)[name]) @ [*point, 1])[:3]
    return float(data["fl_x"] * x / z + data["cx"]), float(data["fl_y"] * y / z + data["cy"])


def truth_from(model: Any, still_life: Path) -> Similarity:
    """The similarity that brings a model of the scene's photos onto their true places."""
    known, images = cameras(still_life), [image for image in model.images.values() if image.has_pose]
    ours = np.array([image.projection_center() for image in images])
    return align(torch.from_numpy(ours), torch.from_numpy(np.array([known[image.name][:3, 3] for image in images])))


def angle(one: Array, two: Array) -> float:
    """Degrees between two vectors [3]."""
    return float(np.degrees(np.arccos(np.clip(one @ two / np.linalg.norm(one) / np.linalg.norm(two), -1, 1))))
