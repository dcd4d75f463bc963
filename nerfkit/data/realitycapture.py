"""RealityCapture's (RealityScan's) CSV of internal and external camera parameters.

Conventions: the world is right-handed with z up. With heading, pitch and roll zero a camera looks straight down, the
top of its photo to +y and its right to +x (support.capturingreality.com, "XMP Rotation"); heading turns clockwise seen
from above, as a compass does: ``world_from_opengl = Rz(-heading) Rx(pitch) Ry(roll)`` in degrees, as nerfstudio and
Brush read it too. ``f`` is the 35 mm equivalent of the longer side (36 mm), ``px py`` are offsets from the middle, in
units of the longer side. k1…k4 are those of the "Brown" models, RealityCapture's default, over the normalised plane
("RealityCapture XMP Camera Math"); the file doesn't say which model was chosen. The order of the tangential t1, t2 is
nowhere written down: they must be zero.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nerfkit.contracts import Cameras
from nerfkit.data.brown import reduce_brown
from nerfkit.data.fields import Fields
from nerfkit.data.raw import RawScene, RawView, camera, finish, opencv_from_opengl, photo_file, upright_size
from nerfkit.errors import NerfkitError

NEEDED = ("name", "x", "y", "alt", "heading", "pitch", "roll", "f")
FILM = 36.0  # mm, the longer side of the film that f belongs to


@dataclass(frozen=True)
class RealityCaptureReader:
    """Reads a ``.csv`` that has these columns, or the folder with it. There are no points.

    Photos lie beside the file or in ``images`` there; ``images`` names another folder.
    """

    images: Path | None = None

    def accepts(self, path: Path) -> bool:
        return _file(path) is not None

    def read(self, path: Path) -> RawScene:
        """Raises NerfkitError: rows without numbers, tangential distortion, missing photos."""
        file = _file(path)
        assert file is not None
        folders = [self.images] if self.images else [file.parent / sub for sub in (".", "images", "photos")]
        views = []
        for row in _rows(file):
            photo = photo_file(row.text("name"), folders)
            views.append(RawView(photo, _camera(row, *upright_size(photo))))
        return finish(RawScene(file, views))


def _file(path: Path) -> Path | None:
    candidates = [path] if path.is_file() else sorted(path.glob("*.csv"))
    return next((file for file in candidates if file.suffix.lower() == ".csv" and _header(file)), None)


def _lines(file: Path) -> list[list[str]]:
    """Cells of all lines; one line may come first that tells how many cameras there are."""
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    lines = [line for line in csv.reader(text.splitlines()) if line and not line[0].startswith("#cameras")]
    return [[cell.strip() for cell in line] for line in lines]


def _header(file: Path) -> list[str]:
    """The names of the columns; none where it is another kind of table."""
    try:
        lines = _lines(file)
    except (OSError, csv.Error):
        return []
    names = [cell.lstrip("#").lower() for cell in lines[0]] if lines else []
    return names if set(NEEDED) <= set(names) else []


def _rows(file: Path) -> list[Fields]:
    header, rows = _header(file), []
    for number, line in enumerate(_lines(file)[1:], 1):
        if len(line) != len(header):
            raise NerfkitError(
                f"{file}: camera {number} has {len(line)} of {len(header)} columns; it may be truncated: "
                "export it again"
            )
        rows.append(Fields(file, {k: v for k, v in zip(header, line, strict=True) if v}, f"camera {number}"))
    if not rows:
        raise NerfkitError(f"{file}: holds no cameras; align the photos and export it again")
    return rows


def _camera(row: Fields, width: int, height: int) -> Cameras:
    if row.number("t1", 0.0) or row.number("t2", 0.0):
        raise NerfkitError(
            f"{row.file}: {row.where} has tangential distortion (t1, t2), whose order isn't known; "
            "align with the distortion model Brown3, or export for COLMAP"
        )
    side = max(width, height)
    focal = row.number("f") * side / FILM
    k1, k2, k3, k4 = (row.number(key, 0.0) for key in ("k1", "k2", "k3", "k4"))
    middle = [width / 2 + row.number("px", 0.0) * side, height / 2 + row.number("py", 0.0) * side]
    intrinsics, distortion = reduce_brown(str(row.file), [focal, focal, *middle], width, height, k1, k2, k3, k4)
    return camera(opencv_from_opengl(_pose(row)), intrinsics, width, height, distortion, "opencv")


def _pose(row: Fields) -> NDArray[np.float64]:
    """``world_from_opengl`` [4, 4]."""
    heading, pitch, roll = (np.deg2rad(row.number(key)) for key in ("heading", "pitch", "roll"))
    turn = {"z": _turn(0, 1, -heading), "x": _turn(1, 2, pitch), "y": _turn(2, 0, roll)}
    pose = np.eye(4)
    pose[:3, :3] = turn["z"] @ turn["x"] @ turn["y"]
    pose[:3, 3] = [row.number(key) for key in ("x", "y", "alt")]
    return pose


def _turn(first: int, second: int, angle: float) -> NDArray[np.float64]:
    """The rotation [3, 3] by ``angle`` that takes axis ``first`` towards axis ``second``."""
    rotation = np.eye(3)
    rotation[first, first] = rotation[second, second] = np.cos(angle)
    rotation[second, first], rotation[first, second] = np.sin(angle), -np.sin(angle)
    return rotation
