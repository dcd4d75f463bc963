"""EXIF orientation, applied once: from here on pixels are as one looks at them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nerfkit.capture.photos import EXIF_ORIENTATION, Photo
from nerfkit.files import atomic
from nerfkit.progress import ProgressSink, quiet

JPEG_QUALITY = 97


def make_upright(photos: Sequence[Photo], folder: Path, progress: ProgressSink = quiet) -> list[Photo]:
    """The same photos, all upright and in one folder.

    Where every photo is upright already, these are the photos as they are, in their place. Otherwise
    ``folder`` gets the turned ones as new files of the same format and the others as links, under the same
    names. A turned photo carries the time of its original, and is kept while that stays the same.

    Raises:
        NerfkitError: no space left, or no permission to write there.
    """
    if all(photo.orientation == 1 for photo in photos):
        return list(photos)
    upright: list[Photo] = []
    for index, photo in enumerate(photos):
        progress("photos", index, len(photos))
        target = folder / photo.name
        if photo.orientation == 1:
            _link(photo.path, target)
        else:
            if target.is_symlink() or not target.exists() or _time(target) != _time(photo.path):
                _write_turned(photo.path, target)
        width, height = (photo.height, photo.width) if photo.orientation >= 5 else (photo.width, photo.height)
        upright.append(replace(photo, path=target, width=width, height=height, orientation=1))
    progress("photos", len(photos), len(photos))
    return upright


def _write_turned(source: Path, target: Path) -> None:
    from PIL import Image, ImageOps

    with Image.open(source) as image:
        turned = ImageOps.exif_transpose(image)
        exif = turned.getexif()  # keeps the focal length, which the pose estimation starts from
        exif[EXIF_ORIENTATION] = 1
        kind = "JPEG" if image.format == "MPO" else image.format
        icc_profile = image.info.get("icc_profile")
        with atomic(target) as partial:
            turned.save(partial, format=kind, quality=JPEG_QUALITY, exif=exif, icc_profile=icc_profile)
            os.utime(partial, (_time(source), _time(source)))


def _link(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    with atomic(target) as partial:
        try:
            os.symlink(source.resolve(), partial)
        except (OSError, NotImplementedError):  # Windows without the right to make links
            import shutil

            shutil.copy2(source, partial)


def _time(path: Path) -> int:
    return int(path.stat().st_mtime)  # whole seconds: not every file system keeps more
