"""Masks of photos: found by name, checked, and written upright beside the photos. White is part of the scene."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from nerfkit.capture import pixels
from nerfkit.capture.exif import ORIENTATION
from nerfkit.capture.walk import MASK_FOLDERS, SUBFOLDERS, shown
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic, link
from nerfkit.threads import threads

if TYPE_CHECKING:
    from PIL.Image import Image

    from nerfkit.capture.photo import Photo
    from nerfkit.capture.upright import UprightFolder

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".gif")
_INSIDE = 128  # levels; from here on a pixel is part of the scene
_ASPECT = 0.02  # by how much the aspect ratios of a photo and its mask may differ


class Finder:
    """Where the mask of a photo is: ``NAME.jpg.png`` (COLMAP), ``NAME.png`` or ``NAME.jpg`` (nerfstudio).

    In the folder ``given``, or else in a folder ``masks`` in any folder from the photo's up to ``root``, or beside
    ``root`` or a folder ``images``; in subfolders as the photos lie.
    """

    def __init__(self, root: Path, given: Path | None = None) -> None:
        if given is not None and not given.is_dir():
            raise NerfkitError(f"{shown(given)}: no such folder; check --masks")
        self.root, self.given = root, given
        self._index: Callable[[Path], dict[str, Path]] = lru_cache(maxsize=None)(_files_by_name)

    def find(self, photo: Path) -> Path | None:
        beside = photo.with_name(photo.name + ".png")
        for folder, tail in self._places(photo):
            files = self._index(folder)
            for name in (f"{tail}.png", str(tail.with_suffix(".png")), str(tail), str(tail.with_suffix(""))):
                mask = files.get(name.casefold())
                if mask is not None:
                    return mask
        return beside if self.given is None and os.path.isfile(beside) else None

    def _places(self, photo: Path) -> Iterator[tuple[Path, PurePosixPath]]:
        """Folders of masks, and the name that the mask of ``photo`` has in them, less its suffix."""
        below = PurePosixPath(photo.relative_to(self.root).as_posix())
        if self.given is not None:
            yield self.given, below
            return
        chain = [self.root, *(self.root.joinpath(*below.parts[:depth]) for depth in range(1, len(below.parts)))]
        for depth, folder in reversed(list(enumerate(chain))):
            tail = PurePosixPath(*below.parts[depth:])
            is_of_photos = depth == 0 or folder.name.lower() in SUBFOLDERS
            for place in (folder, *([folder.absolute().parent] if is_of_photos else [])):
                yield from ((place / name, tail) for name in MASK_FOLDERS)


def _files_by_name(folder: Path) -> dict[str, Path]:
    """Mask files by their path below ``folder``, in lower case, with and without suffix."""
    found: dict[str, Path] = {}
    for directory, subfolders, names in os.walk(folder):
        subfolders.sort()
        for name in sorted(names):
            path = Path(directory, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith(".") and path.is_file():
                relative = path.relative_to(folder)
                found[relative.as_posix().casefold()] = path
                found.setdefault(relative.with_suffix("").as_posix().casefold(), path)
    return found


def read(path: Path, photo_size: tuple[int, int], orientation: int) -> tuple[Image, bool]:
    """The mask of a photo as an upright image of mode L, 0 and 255 only, and whether it had to be resized.

    Args:
        path: the mask file; grey, 1-bit, or of colours. Values up to 1 count as 0 and 255.
        photo_size: width and height of the photo as it is seen upright.
        orientation: the photo's EXIF tag. It turns the mask too, unless the mask has one of its own or is upright.

    Raises:
        NerfkitError: not readable, or of another shape than the photo.
    """
    from PIL import Image as images
    from PIL import ImageOps

    try:
        with pixels.open_picture(path.read_bytes()) as image:
            own = ORIENTATION in image.getexif()
            image.load()
            mask = ImageOps.exif_transpose(pixels.to_srgb(image))
    except Exception as error:  # as Pillow fails with photos
        raise NerfkitError(f"{shown(path)}: the mask cannot be read ({error}); make it again or remove it") from None
    levels = np.asarray(mask.convert("RGBA")).astype(np.uint8)
    grey = np.minimum(levels[..., :3].max(2), levels[..., 3])
    inside = images.fromarray(np.where(grey >= (1 if grey.max() == 1 else _INSIDE), 255, 0).astype(np.uint8))
    width, height = photo_size
    sideways = orientation in (5, 6, 7, 8) and width != height
    is_upright = sideways and (inside.size == photo_size or not _same_shape(inside.size, (height, width)))
    if not own and not is_upright:
        inside = turned(inside, orientation)
    if inside.size == photo_size:
        return inside, False
    if not _same_shape(inside.size, photo_size):
        raise NerfkitError(
            f"{shown(path)}: the mask is {inside.width}x{inside.height} but its photo {width}x{height}; "
            "make masks of the photos' size"
        )
    return inside.resize(photo_size, images.Resampling.NEAREST), True


def turned(image: Image, orientation: int) -> Image:
    """An image as EXIF's ``orientation`` turns it."""
    from PIL import Image as images

    methods = images.Transpose
    method = {
        2: methods.FLIP_LEFT_RIGHT, 3: methods.ROTATE_180, 4: methods.FLIP_TOP_BOTTOM, 5: methods.TRANSPOSE,
        6: methods.ROTATE_270, 7: methods.TRANSVERSE, 8: methods.ROTATE_90,
    }.get(orientation)  # fmt: skip
    return image if method is None else image.transpose(method)


def _same_shape(one: tuple[int, int], two: tuple[int, int]) -> bool:
    return abs(one[0] / one[1] / (two[0] / two[1]) - 1) < _ASPECT


@dataclass(frozen=True)
class PlacedMasks:
    """Masks in files named as COLMAP wants them, ``NAME.jpg.png``."""

    for_features: Path | None  # a folder with a mask for every photo, transparent pixels black too
    files: Mapping[str, Path]  # name in the upright folder -> its mask, for the photos that have a mask file


def place(upright: UprightFolder, for_features: Path, folder: Path) -> PlacedMasks:
    """Writes the masks of photos into ``folder``, and what must not have features into ``for_features``.

    Neither is made where no photo has a mask, or an alpha channel.
    """
    placed = places(upright, for_features, folder)
    with pixels.large_pictures(), threads() as pool:
        if placed.files:
            with atomic(folder) as partial:
                targets = [_with_parent(partial / f"{name}.png") for name in placed.files]
                list(pool.map(_write, (upright.names[name] for name in placed.files), targets))
        if placed.for_features is not None:
            with atomic(for_features) as partial:
                white: dict[tuple[int, int], Path] = {}
                for name, photo in upright.names.items():
                    target = _with_parent(partial / f"{name}.png")
                    if name not in placed.files and not photo.alpha:
                        _write_white(white, (photo.width, photo.height), target)
                jobs = [
                    (upright.folder / name, photo.alpha, placed.files.get(name), partial / f"{name}.png")
                    for name, photo in upright.names.items()
                    if name in placed.files or photo.alpha
                ]
                list(pool.map(lambda job: _write_for_features(*job), jobs))
    return placed


def places(upright: UprightFolder, for_features: Path, folder: Path) -> PlacedMasks:
    """What :func:`place` gives, without the work."""
    photos = upright.names.values()
    files = {name: folder / f"{name}.png" for name, photo in upright.names.items() if photo.mask is not None}
    return PlacedMasks(for_features if files or any(photo.alpha for photo in photos) else None, files)


def are_placed(upright: UprightFolder, placed: PlacedMasks) -> bool:
    """Whether all files of ``placed`` are there."""
    wanted = [*placed.files.values()]
    if placed.for_features is not None:
        wanted += [placed.for_features / f"{name}.png" for name in upright.names]
    return all(file.is_file() for file in wanted)


def _write(photo: Photo, target: Path) -> None:
    assert photo.mask is not None
    _save(read(photo.mask, (photo.width, photo.height), photo.orientation)[0], target)


def _write_white(known: dict[tuple[int, int], Path], size: tuple[int, int], target: Path) -> None:
    """COLMAP skips a photo whose mask isn't there."""
    from PIL import Image as images

    if size in known:
        link(known[size], target)
    else:
        _save(images.new("L", size, 255), target)
        known[size] = target


def _write_for_features(picture: Path, alpha: bool, mask: Path | None, target: Path) -> None:
    from PIL import Image as images

    if not alpha and mask is not None:
        link(mask, target)
        return
    with pixels.open_picture(picture.read_bytes()) as image:
        inside = np.asarray(image.convert("RGBA").getchannel("A")) >= _INSIDE
    if mask is not None:
        with images.open(mask) as image:
            inside &= np.asarray(image) >= _INSIDE
    _save(images.fromarray(np.where(inside, 255, 0).astype(np.uint8)), target)


def _with_parent(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _save(image: Image, target: Path) -> None:
    image.save(target, compress_level=1)
