"""OpenSfM's ``reconstruction.json``, which OpenDroneMap keeps too, with the observations of ``tracks.csv``.

Conventions, by OpenSfM's documentation ("Geometric Models", "Reconstruction file format"): a shot's ``rotation`` (an
axis times an angle) and ``translation`` take the world to the camera, with x to the right, y down, z forward; image
coordinates have their origin in the middle and the longer side as unit, so that in ours, whose pixel centres lie at
+0.5, the middle is at ``(width / 2, height / 2)``; ``brown`` has OpenCV's k1 k2 k3 p1 p2, ``fisheye`` and
``fisheye_opencv`` polynomials in the angle.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.contracts import Cameras
from nerfkit.data.brown import reduce_brown
from nerfkit.data.fields import Fields, begins_with, load_object
from nerfkit.data.raw import RawScene, RawView, Seen, camera, finish, photo_file
from nerfkit.errors import NerfkitError

FILE = "reconstruction.json"
BROWN = ("perspective", "simple_radial", "radial", "brown")
FISHEYE = ("fisheye", "fisheye_opencv")

log = logging.getLogger("nerfkit")


@dataclass(frozen=True)
class OpenSfmReader:
    """Reads ``reconstruction.json``, alone, in its folder, or in a folder ``opensfm`` (OpenDroneMap).

    Of several reconstructions the one with most shots is read. Photos lie in ``images`` beside the file or above it;
    ``images`` names another folder.
    """

    images: Path | None = None

    def accepts(self, path: Path) -> bool:
        if path.is_file():
            return path.suffix == ".json" and begins_with(path, '"projection_type"', '"shots"', '"rig_cameras"')
        return _file(path) is not None and not (path / "transforms.json").is_file()

    def read(self, path: Path) -> RawScene:
        """Raises NerfkitError: invalid JSON, no shots, missing values, unsupported cameras, missing photos."""
        file = path if path.is_file() else _file(path)
        assert file is not None
        data = load_object(file, "reconstruction")
        parts = data if isinstance(data, list) else [data]
        if not all(isinstance(part, dict) and isinstance(part.get("shots"), dict) for part in parts) or not parts:
            raise NerfkitError(f"{file}: not a reconstruction.json (a list of objects with 'shots'); export it again")
        best = max(parts, key=lambda part: len(part["shots"]))
        if len(parts) > 1:
            log.warning(
                "%s: the largest of its %d reconstructions is read, with %d shots", file, len(parts), len(best["shots"])
            )
        top = Fields(file, best)
        cameras = top.fields("cameras")
        shots = top.fields("shots")
        views = {name: self._view(file, name, shots.fields(name, f"shot {name}"), cameras) for name in shots.values}
        points, colors, index = _points(top)
        for name, seen in _tracks(file, views, index).items():
            views[name].seen = seen
        return finish(RawScene(file, list(views.values()), points, colors))

    def _view(self, file: Path, name: str, shot: Fields, cameras: Fields) -> RawView:
        rotation, _ = cv2.Rodrigues(shot.numbers("rotation", (3,)))
        pose = np.eye(4)
        pose[:3, :3] = rotation.T
        pose[:3, 3] = -rotation.T @ shot.numbers("translation", (3,))
        folders = [self.images] if self.images else [
            base / sub for base in (file.parent, *file.parent.parents[:2]) for sub in ("images", "photos", ".")
        ]  # fmt: skip
        key = shot.text("camera")
        return RawView(photo_file(name, folders), _camera(cameras.fields(key, f"camera {key}"), pose))


def _file(folder: Path) -> Path | None:
    places = (folder / FILE, folder / "opensfm" / FILE)
    return next((place for place in places if place.is_file()), None)


def _camera(values: Fields, pose: NDArray[np.float64]) -> Cameras:
    kind = values.text("projection_type")
    if kind not in BROWN + FISHEYE:
        raise NerfkitError(
            f"{values.file}: {values.where} is {kind}, which is not read; only {', '.join(BROWN + FISHEYE)} are"
        )
    width, height = values.count("width"), values.count("height")
    side = max(width, height)
    focal = values.number("focal") if values.has("focal") else None
    fx, fy = (values.number(key, focal) * side for key in ("focal_x", "focal_y"))
    cx, cy = width / 2 + values.number("c_x", 0.0) * side, height / 2 + values.number("c_y", 0.0) * side
    k1, k2, k3, k4, p1, p2 = (values.number(key, 0.0) for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
    if kind in FISHEYE:
        return camera(
            pose, [fx, fy, cx, cy], width, height, torch.tensor([k1, k2, k3, k4], dtype=torch.float64), "fisheye"
        )
    intrinsics, distortion = reduce_brown(str(values.file), [fx, fy, cx, cy], width, height, k1, k2, k3, 0.0, p1, p2)
    return camera(pose, intrinsics, width, height, distortion, "opencv")


def _points(top: Fields) -> tuple[NDArray[np.float64], NDArray[np.uint8], dict[str, int]]:
    """Positions [P, 3], colors [P, 3], and which index each point's name has."""
    if not top.has("points"):
        return np.zeros((0, 3)), np.zeros((0, 3), np.uint8), {}
    listed = top.fields("points")
    points = [listed.fields(name, f"point {name}") for name in listed.values]
    positions = np.array([point.numbers("coordinates", (3,)) for point in points]).reshape(-1, 3)
    colors = np.array([point.numbers("color", (3,), [128, 128, 128]) for point in points]).reshape(-1, 3)
    return positions, colors.clip(0, 255).astype(np.uint8), {name: i for i, name in enumerate(listed.values)}


def _tracks(file: Path, views: Mapping[str, RawView], index: Mapping[str, int]) -> dict[str, Seen]:
    """The observations in ``tracks.csv`` beside the file: shot, track, feature, x, y… separated by tabs."""
    tracks = file.with_name("tracks.csv")
    if not tracks.is_file() or not index:
        return {}
    found: dict[str, tuple[list[int], list[list[float]]]] = {name: ([], []) for name in views}
    for number, line in enumerate(tracks.read_text(errors="replace").splitlines(), 1):
        if not line.strip() or line.startswith("OPENSFM_TRACKS_VERSION"):
            continue
        cells = line.split("\t")
        try:
            name, point, x, y = cells[0], cells[1], float(cells[3]), float(cells[4])
        except (IndexError, ValueError):
            raise NerfkitError(
                f"{tracks}: line {number} is not a track (shot, track, feature, x, y…); "
                "copy the file again, or take it away"
            ) from None
        if name in found and point in index and np.isfinite([x, y]).all():
            found[name][0].append(index[point])
            found[name][1].append([x, y])
    seen = {}
    for name, (points, xy) in found.items():
        size = np.array([views[name].camera.width, views[name].camera.height])
        seen[name] = Seen(np.array(points, np.int64), np.array(xy).reshape(-1, 2) * size.max() + size / 2)
    return seen
