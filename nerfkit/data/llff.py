"""``poses_bounds.npy``: the format of LLFF (Mildenhall et al. 2019), a row of 17 numbers for each photo."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nerfkit.contracts import Cameras
from nerfkit.data.raw import PHOTO_SUFFIXES, RawScene, RawView, camera, finish
from nerfkit.errors import NerfkitError

log = logging.getLogger("nerfkit")

FILE = "poses_bounds.npy"


@dataclass(frozen=True)
class LlffReader:
    """Reads ``poses_bounds.npy``, alone or in its folder; its rows belong to the photos in the order of their names.

    A row is a 3x5 matrix ``[R | t | h w f]`` (camera-to-world, camera axes down, right, backwards; height, width
    and focal length in pixels), then the nearest and the farthest depth that the photo shows. Photos lie in
    ``images``, or else in the largest of the smaller copies ``images_2``, ``images_4``…; ``images`` names another
    folder. There are no points, and distortion is not described.
    """

    images: Path | None = None

    def accepts(self, path: Path) -> bool:
        return path.name == FILE or (path / FILE).is_file()

    def read(self, path: Path) -> RawScene:
        """Raises NerfkitError: no array of N x 17 numbers, a number of photos other than N, no photos."""
        file = path if path.is_file() else path / FILE
        rows = _rows(file)
        photos = self._photos(file)
        if len(photos) != len(rows):
            raise NerfkitError(
                f"{file}: {len(rows)} poses, but {len(photos)} photos in {photos[0].parent}; "
                "leave only the photos that the poses were made from"
            )
        views = [
            RawView(photo, _camera(file, row, photo), bounds=_bounds(row))
            for photo, row in zip(photos, rows, strict=True)
        ]
        without = sum(view.bounds is None for view in views)
        if without:
            log.warning("%s: the depth bounds of %d views are not 0 < near < far and are left out", file, without)
        return finish(RawScene(file, views))

    def _photos(self, file: Path) -> list[Path]:
        """The photos of the first folder that has any, by name."""
        folders = [self.images] if self.images else [file.parent / "images", *_smaller_copies(file.parent)]
        for folder in folders:
            if photos := _photos_in(folder):
                return photos
        where = self.images or f"{file.parent / 'images'} or images_2, images_4…"
        raise NerfkitError(f"{file}: no photos in {where}; put them there, or name their folder with --images")


def _rows(file: Path) -> NDArray[np.float64]:  # [N, 17]
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise NerfkitError(f"{file}: not a readable NumPy array ({error}); copy or make it again") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise NerfkitError(f"{file}: not an array of numbers; write LLFF's N x 17 array, a row for each photo")
    if array.ndim != 2 or array.shape[1] != 17:
        shape = " x ".join(map(str, array.shape)) or "one number"
        raise NerfkitError(f"{file}: its shape must be N x 17, a row for each photo, and is {shape}; make it again")
    return array.astype(np.float64)


def _camera(file: Path, row: NDArray[np.float64], photo: Path) -> Cameras:
    """The camera [C = 1] of a row, over a photo of the size that the row names."""
    matrix = row[:15].reshape(3, 5)
    height, width, focal = (float(value) for value in matrix[:, 4])
    if not (np.isfinite(matrix[:, 4]).all() and round(height) > 0 and round(width) > 0):
        raise NerfkitError(
            f"{file}: the row of {photo.name} has height {height:g}, width {width:g} and focal length {focal:g}; "
            "write them in pixels"
        )
    return camera(_opencv_from_llff(matrix[:, :4]), [focal, focal, width / 2, height / 2],
                  round(width), round(height), None)  # fmt: skip


def _opencv_from_llff(world_from_llff: NDArray[np.float64]) -> NDArray[np.float64]:
    """A pose [3, 4] with LLFF's camera axes (down, right, backwards) as one [4, 4] with OpenCV's."""
    down, right, backwards, place = world_from_llff.T
    return np.vstack([np.stack([right, down, -backwards, place], 1), [0.0, 0.0, 0.0, 1.0]])


def _bounds(row: NDArray[np.float64]) -> tuple[float, float] | None:
    near, far = float(row[15]), float(row[16])
    return (near, far) if 0 < near < far < np.inf else None


def _smaller_copies(folder: Path) -> list[Path]:
    """``images_2``, ``images_4``…, the largest photos first."""
    found = [
        (int(match[1]), entry) for entry in folder.iterdir() if (match := re.fullmatch(r"images_(\d+)", entry.name))
    ]
    return [entry for _, entry in sorted(found)]


def _photos_in(folder: Path) -> list[Path]:
    """The photos of a folder by name; hidden files are none."""
    if not folder.is_dir():
        return []
    return sorted(
        entry for entry in folder.iterdir()
        if entry.suffix.lower() in PHOTO_SUFFIXES and not entry.name.startswith(".")
    )  # fmt: skip
