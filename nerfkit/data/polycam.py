"""Polycam's raw export: a JSON file for each keyframe.

Conventions, by Polycam's own tools (PolyCam/polyform, ``capture_folder.py`` and ``instant_ngp.py``): ``t_00 … t_23``
are the rows of camera-to-world with ARKit's axes, which are OpenGL's (x right, y up, z backwards), in a world whose y
points up; fx fy cx cy are pixels of the photo, which has no distortion left. Optimized poses are in
``corrected_cameras`` with ``corrected_images``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nerfkit.data.fields import Fields, load_object
from nerfkit.data.raw import RawScene, RawView, camera, finish, opencv_from_opengl, photo_file
from nerfkit.errors import NerfkitError

PARTS = ("corrected_", "")  # the optimized poses first


@dataclass(frozen=True)
class PolycamReader:
    """Reads the unpacked raw export or its folder ``keyframes``, the optimized cameras where there are any.

    ``images`` names another folder for the photos. There are no points.
    """

    images: Path | None = None

    def accepts(self, path: Path) -> bool:
        return _cameras(path) is not None

    def read(self, path: Path) -> RawScene:
        """Raises NerfkitError: invalid JSON, missing values, missing photos."""
        found = _cameras(path)
        assert found is not None
        cameras, photos = found
        folders = [self.images or photos]
        return finish(RawScene(cameras, [_view(file, folders) for file in sorted(cameras.glob("*.json"))]))


def _cameras(path: Path) -> tuple[Path, Path] | None:
    """The folder of the cameras and that of their photos."""
    for base in (path / "keyframes", path):
        for part in PARTS:
            cameras, photos = base / f"{part}cameras", base / f"{part}images"
            if photos.is_dir() and cameras.is_dir() and next(cameras.glob("*.json"), None) is not None:
                return cameras, photos
    return None


def _view(file: Path, folders: list[Path]) -> RawView:
    data = load_object(file, "keyframe")
    if not isinstance(data, dict):
        raise NerfkitError(f"{file}: not a keyframe of Polycam (its top level must be an object); export it again")
    values = Fields(file, data, "the camera")
    pose = np.eye(4)
    pose[:3] = [[values.number(f"t_{row}{column}") for column in range(4)] for row in range(3)]
    intrinsics = [values.number(key) for key in ("fx", "fy", "cx", "cy")]
    width, height = values.count("width"), values.count("height")
    described = camera(opencv_from_opengl(pose), intrinsics, width, height, None)
    return RawView(photo_file(file.stem, folders), described)
