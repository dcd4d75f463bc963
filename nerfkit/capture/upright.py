"""Photos turned upright once, in formats that every reader knows."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nerfkit.capture import exif, pixels
from nerfkit.capture.photo import JPEG, Photo
from nerfkit.capture.walk import shown
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic, link
from nerfkit.progress import ProgressSink, quiet
from nerfkit.threads import threads

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class UprightFolder:
    """One folder with all photos upright, in a format every reader knows."""

    folder: Path
    names: dict[str, Photo]  # file name in ``folder`` -> the photo it shows


def upright(photos: Sequence[Photo], folder: Path, progress: ProgressSink = quiet) -> UprightFolder:
    """Where all photos lie upright: their own folder if they do already, else ``folder``, which is filled.

    Photos of different folders are brought together. Photos that EXIF says are turned are written anew (JPEG at quality
    95 without chroma subsampling, other formats without loss), and so are those that COLMAP, OpenCV or browsers cannot
    read or show in other colours; all others are linked, or copied where links aren't possible. EXIF stays, without the
    orientation tag.
    """
    if all(_as_it_is(photo) and photo.root == photos[0].root for photo in photos):
        return UprightFolder(photos[0].root, {photo.name: photo for photo in photos})
    names = _names(photos)
    with atomic(folder) as partial:
        partial.mkdir(parents=True)
        for parent in {(partial / name).parent for name in names}:
            parent.mkdir(parents=True, exist_ok=True)
        with pixels.large_pictures(), threads() as pool:
            jobs = pool.map(lambda item: _place(item[1], partial / item[0]), names.items())
            for done, _ in enumerate(jobs, 1):
                progress("upright photos", done, len(names))
    return UprightFolder(folder, names)


def _as_it_is(photo: Photo) -> bool:
    return not photo.rewrite and not photo.suffix and photo.path == photo.root / photo.name


def _names(photos: Sequence[Photo]) -> dict[str, Photo]:
    folders = {str(folder) for photo in photos for folder in PurePosixPath(photo.name).parents}
    taken = {name.casefold() for name in (*(photo.name for photo in photos), *folders)}
    names = {}
    for photo in photos:
        name, wanted = photo.name, photo.rewrite or photo.suffix
        if wanted and not name.lower().endswith(wanted):
            stem = os.path.splitext(name)[0]
            others = (f"{name}-{count}{wanted}" for count in itertools.count(2))
            candidates = itertools.chain((stem + wanted, name + wanted), others)
            name = next(candidate for candidate in candidates if candidate.casefold() not in taken)
            taken.add(name.casefold())
        names[name] = photo
    return names


def _place(photo: Photo, target: Path) -> None:
    try:
        _write_upright(photo, target) if photo.rewrite else link(photo.path, target)
    except FileNotFoundError:
        raise NerfkitError(
            f"{shown(photo.path)}: is gone; run the command again with the photos that are left"
        ) from None


def _write_upright(photo: Photo, target: Path) -> None:
    from PIL import ImageOps

    with pixels.open_picture(photo.path.read_bytes()) as image:
        image.load()
        turned = ImageOps.exif_transpose(image)
        facts = _exif_without_orientation(turned)
        upright = pixels.to_srgb(turned)
    jpeg = target.suffix.lower() in JPEG
    extra: dict[str, Any] = {"format": "JPEG", "quality": 95, "subsampling": 0} if jpeg else {"compress_level": 3}
    try:
        upright.save(target, exif=facts, **extra)
    except ValueError:  # EXIF of a TIFF may be longer than a JPEG holds
        upright.save(target, exif=b"", **extra)


def _exif_without_orientation(image: Image) -> bytes:
    try:
        facts = image.getexif()
        facts.pop(exif.ORIENTATION, None)
        return facts.tobytes()
    except Exception:  # as in nerfkit.capture.exif
        return b""
