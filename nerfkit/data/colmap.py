"""COLMAP models: ``cameras``, ``images``, ``points3D`` as ``.bin`` or ``.txt``, with or without rigs and frames."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.data.below import photos_below
from nerfkit.data.brown import reduce_brown
from nerfkit.data.colmap_files import check_binary
from nerfkit.data.raw import RawScene, RawView, Seen, camera, finish, other_cases
from nerfkit.errors import NerfkitError

log = logging.getLogger("nerfkit")

MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", "0", ".")
FILES = ("cameras", "images", "points3D")
PHOTO_FOLDERS = ("images", "photos", ".")
CAMERA_MODELS = (
    "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV",
    "OPENCV_FISHEYE", "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE",
)  # fmt: skip


@dataclass(frozen=True)
class ColmapReader:
    """Reads a COLMAP model, given its own folder or the scene's (``sparse/0``, ``sparse``, ``colmap/sparse/0``).

    Photos lie in ``images`` or ``photos``, beside the model or above it; ``images`` names another folder,
    which holds them by their name in the model or by their file name alone. Rigs are resolved to one pose a photo.
    ``observations`` keeps where each photo shows which points; training doesn't need it, and it takes a while.
    """

    images: Path | None = None
    observations: bool = False

    def accepts(self, path: Path) -> bool:
        return model_folder(path) is not None

    def read(self, path: Path) -> RawScene:
        """Raises NerfkitError: truncated or damaged files, an unsupported camera model, missing photos."""
        model = model_folder(path)
        if model is None:
            raise NerfkitError(f"{path}: no COLMAP model (cameras, images and points3D); check the path")
        if model != path:
            _warn_of_larger(model)
        reconstruction = load(model)
        names = _whole_names(model)
        registered = [image for _, image in sorted(reconstruction.images.items()) if image.has_pose]
        photos = self._photos(path, model, [names.get(image.image_id, image.name) for image in registered])
        views = [
            RawView(file, _camera(model, reconstruction.cameras[image.camera_id], image))
            for file, image in zip(photos, registered, strict=True)
        ]
        if self.observations:
            index = {number: at for at, number in enumerate(sorted(reconstruction.points3D))}
            for view, image in zip(views, registered, strict=True):
                view.seen = _seen(image, index)
        return finish(RawScene(model, views, *_points(reconstruction)))

    def _photos(self, path: Path, model: Path, names: list[str]) -> list[Path]:
        """The files of ``names``: in the first of the folders that has any of them."""
        if self.images is not None:
            return photos_below(names, self.images)
        bases = dict.fromkeys([path, model, *model.parents[:3]])
        folders = [base / folder for base in bases for folder in PHOTO_FOLDERS]
        holds = (folder for folder in folders if any(_photo(folder, name).is_file() for name in names))
        folder = next(holds, folders[0])
        return [_photo(folder, name) for name in names]


def model_folder(path: Path, files: Sequence[str] = FILES) -> Path | None:
    """The folder of the model that ``path`` holds or is: one with all of these ``files``."""
    usual = (path / folder for folder in MODEL_FOLDERS)
    numbered = (model for above in ("sparse", "colmap/sparse", ".") for model in _numbered(path / above))
    return next((folder for folder in chain(usual, numbered) if _has(folder, files)), None)


def load(model: Path) -> Any:
    """The ``pycolmap.Reconstruction`` of a model folder.

    Raises:
        NerfkitError: the files are truncated, damaged, or don't belong together.
    """
    import pycolmap

    check_binary(model)
    try:
        return pycolmap.Reconstruction(str(model))
    except Exception as error:  # whatever COLMAP's parser and checks throw: IndexError, ValueError, RuntimeError…
        raise NerfkitError(
            f"{model}: a damaged COLMAP model, or files of different models "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); copy or make it again"
        ) from None


def _photo(folder: Path, name: str) -> Path:
    """The file of a name, which may have the separators of Windows, or its suffix in the other case."""
    whole = folder / name
    if whole.is_file():
        return whole
    there = folder / name.replace("\\", "/")
    files = (there, *(there.with_name(other) for other in other_cases(there.name)))
    return next((file for file in files if file.is_file()), whole)


def _numbered(folder: Path) -> list[Path]:
    """Models by their numbers: whoever deletes those that fit badly may have none left that is called 0."""
    if not folder.is_dir():
        return []
    return sorted((inner for inner in folder.iterdir() if inner.name.isdecimal()), key=lambda inner: int(inner.name))


def _has(folder: Path, files: Sequence[str]) -> bool:
    return any(all((folder / f"{name}.{suffix}").is_file() for name in files) for suffix in ("bin", "txt"))


def _warn_of_larger(model: Path) -> None:
    """COLMAP numbers its models as they come, not by their size, and a scene may have several."""
    if not model.name.isdecimal():
        return
    sizes = {other: _size_of_images(other) for other in model.parent.iterdir() if other.name.isdecimal()}
    largest = max(sizes, key=lambda other: (sizes[other], other == model))
    if largest != model:
        log.warning("%s: is read, but %s is larger; give that folder to read it instead", model, largest)


def _size_of_images(model: Path) -> int:
    """Bytes, which grow with the photos and what is seen in them; 0 where there is no model."""
    files = (model / f"images.{suffix}" for suffix in ("bin", "txt")) if _has(model, FILES) else ()
    return next((file.stat().st_size for file in files if file.is_file()), 0)


def _whole_names(model: Path) -> dict[int, str]:
    """The names of images by their numbers, where the model is text: COLMAP reads them up to their first space."""
    file = model / "images.txt"
    if not file.is_file() or (model / "images.bin").is_file():
        return {}
    names = {}
    lines = iter(file.read_text(encoding="utf-8", errors="surrogateescape").split("\n"))
    for line in lines:
        if line.strip() and not line.startswith("#"):
            values = line.split(maxsplit=9)
            if len(values) == 10 and values[0].isdecimal():
                names[int(values[0])] = values[9].rstrip()
            next(lines, None)  # the image's observations
    return names


def _camera(model: Path, described: Any, image: Any) -> Cameras:
    """The camera [C = 1] of an image, COLMAP's ``cam_from_world`` inverted."""
    name = described.model.name
    if name not in CAMERA_MODELS:
        raise NerfkitError(
            f"{model}: camera model {name} of {image.name} is not supported; undistort with "
            f"`colmap image_undistorter`, or use one of {', '.join(CAMERA_MODELS)}"
        )
    pose = np.eye(4)
    pose[:3] = image.cam_from_world().inverse().matrix()
    kind = "fisheye" if name.endswith("FISHEYE") else "pinhole" if name.endswith("PINHOLE") else "opencv"
    params = [float(value) for value in described.params]
    distortion: Tensor | None
    if name == "FULL_OPENCV":
        k1, k2, p1, p2, k3, *below = params[4:]
        intrinsics, distortion = reduce_brown(
            str(model), params[:4], described.width, described.height, k1, k2, k3, 0.0, p1, p2, below=below
        )
    else:
        intrinsics, distortion = _split(name, params)
    return camera(pose, intrinsics, described.width, described.height, distortion, kind)


def _split(name: str, params: list[float]) -> tuple[list[float], Tensor | None]:
    """fx fy cx cy, and four distortion coefficients, of COLMAP's parameters."""
    if name.startswith(("SIMPLE", "RADIAL")):
        params = [params[0], *params]  # one focal length for both axes
    rest = params[4:]
    return params[:4], torch.tensor(rest + [0.0] * (4 - len(rest)), dtype=torch.float64) if rest else None


def _seen(image: Any, index: dict[int, int]) -> Seen:
    spots = [spot for spot in image.points2D if spot.has_point3D()]
    return Seen(
        np.array([index[spot.point3D_id] for spot in spots], np.int64),
        np.array([spot.xy for spot in spots], np.float64).reshape(-1, 2),
    )


def _points(reconstruction: Any) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    points = [point for _, point in sorted(reconstruction.points3D.items())]
    positions = np.array([point.xyz for point in points], dtype=np.float64).reshape(-1, 3)
    return positions, np.array([point.color for point in points], dtype=np.uint8).reshape(-1, 3)
