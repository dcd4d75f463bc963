"""Finds the photos of a folder, reads what their headers say, and turns them upright once."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nerfkit.capture.panorama import View
from nerfkit.capture.video import SUFFIXES as VIDEO_SUFFIXES
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
HEIC_SUFFIXES = (".heic", ".heif")
SUBFOLDERS = ("images", "photos", "input")  # where the photos lie when a scene's folder is given
FEWEST = 3

_ORIENTATION, _MAKE, _MODEL, _EXIF_IFD = 274, 271, 272, 34665
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM = 37386, 41989
_FULL_FRAME_WIDTH = 36.0  # mm

log = logging.getLogger("nerfkit")


@dataclass(frozen=True)
class Photo:
    """A readable photo; nothing of its pixels is kept."""

    path: Path
    width: int  # pixels, as the photo is seen upright
    height: int
    orientation: int  # EXIF: 1 is upright
    lens: tuple[str, ...]  # maker, model and focal lengths by EXIF: equal for photos of one camera at one zoom
    focal_px: float | None  # from the 35 mm equivalent focal length; None where EXIF has none
    digest: str  # of the file's content

    @property
    def name(self) -> str:
        return self.path.name


@dataclass(frozen=True)
class Photos:
    """All photos of a folder, sorted by name, and the names of the files that cannot be read."""

    folder: Path
    photos: list[Photo]
    unreadable: list[str]
    ordered: bool = False  # neighbours by name were taken one after the other: frames of a video
    rig: tuple[View, ...] = ()  # of views of panoramas: each photo belongs to the view whose prefix its name has


@dataclass(frozen=True)
class UprightFolder:
    """One folder with all photos upright, in a format every reader knows."""

    folder: Path
    names: dict[str, Photo]  # file name in ``folder`` -> the photo it shows


def find(folder: Path, progress: ProgressSink = quiet) -> Photos:
    """The photos of ``folder``, or of its subfolder ``images``, ``photos`` or ``input`` where it has none itself.

    Every photo is decoded at the smallest scale its format offers, to know that it is whole; a file that is
    truncated or no picture is left out with a warning that names it.

    Raises:
        NerfkitError: no such folder, no photos in it, or fewer than three readable ones.
    """
    if not folder.exists():
        raise NerfkitError(f"{folder}: no such folder; check the path of the photos")
    if not folder.is_dir():
        raise NerfkitError(f"{folder}: is a file, not a folder of photos{_video_advice([folder])}")
    place, files = _photo_files(folder)
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
        read: list[Photo | str] = []
        for photo in pool.map(_read, files):
            read.append(photo)
            progress("photos", len(read), len(files))
    photos, unreadable = [], []
    for file, result in zip(files, read):
        if isinstance(result, Photo):
            photos.append(result)
        else:
            log.warning("%s: left out, it cannot be read (%s)", file, result)
            unreadable.append(file.name)
    if len(photos) < FEWEST:
        count = {0: "no readable photo", 1: "only one photo"}.get(len(photos), f"only {len(photos)} photos")
        where = f"{count} of {len(files)} readable" if unreadable and photos else count
        raise NerfkitError(
            f"{place}: {where}; poses need at least {FEWEST} photos that overlap, 20 to 200 are a good number"
        )
    return Photos(place, photos, unreadable)


def upright(photos: Sequence[Photo], folder: Path, progress: ProgressSink = quiet) -> UprightFolder:
    """Where all photos lie upright: their own folder if they do already, else ``folder``, which is filled.

    Photos that EXIF says are turned are written anew (JPEG at quality 95 without chroma subsampling, other
    formats without loss), WebP becomes JPEG or PNG, all others are linked, or copied where links aren't possible.
    EXIF stays, without the orientation tag.
    """
    if all(_as_it_is(photo) for photo in photos):
        return UprightFolder(photos[0].path.parent, {photo.name: photo for photo in photos})
    names = _names(photos)
    with atomic(folder) as partial:
        partial.mkdir(parents=True)
        with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
            jobs = pool.map(lambda item: _place(item[1], partial / item[0]), names.items())
            for done, _ in enumerate(jobs, 1):
                progress("upright photos", done, len(names))
    return UprightFolder(folder, names)


def camera_groups(photos: Sequence[Photo]) -> list[list[Photo]]:
    """Photos that may share one camera: same size, same lens at the same zoom. In order of first appearance."""
    groups: dict[tuple[Any, ...], list[Photo]] = {}
    for photo in photos:
        groups.setdefault((photo.width, photo.height, photo.lens), []).append(photo)
    return list(groups.values())


def _photo_files(folder: Path) -> tuple[Path, list[Path]]:
    others: list[Path] = []
    for place in (folder, *(folder / name for name in SUBFOLDERS)):
        if not place.is_dir():
            continue
        entries = sorted(entry for entry in place.iterdir() if entry.is_file() and not entry.name.startswith("."))
        files = [entry for entry in entries if entry.suffix.lower() in SUFFIXES]
        others = [entry for entry in entries if entry not in files] or others
        if files:
            heic = sum(entry.suffix.lower() in HEIC_SUFFIXES for entry in others)
            if heic:
                log.warning("%s: %d HEIC photos left out, they are not supported yet; export them as JPEG", place, heic)
            return place, files
    known = " ".join(SUFFIXES)
    raise NerfkitError(f"{folder}: no photos in it (looked for {known}){_video_advice(others)}")


def _video_advice(files: Sequence[Path]) -> str:
    suffixes = {file.suffix.lower() for file in files}
    film = next((file for file in files if file.suffix.lower() in VIDEO_SUFFIXES), None)
    if film is not None:
        return f"; give the video itself: {film}"
    if suffixes & set(HEIC_SUFFIXES):
        return "; HEIC photos are not supported yet: export them as JPEG"
    return "; give the folder that holds the photos"


def _read(path: Path) -> Photo | str:
    """The photo, or what is wrong with it in words."""
    from PIL import Image, UnidentifiedImageError

    try:
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            exif = image.getexif()
            orientation = int(exif.get(_ORIENTATION, 1) or 1)
            lens, focal_px = _lens(exif, max(width, height))
            image.draft("RGB", (max(1, width // 8), max(1, height // 8)))
            image.load()
    except UnidentifiedImageError:
        return "empty" if not path.stat().st_size else "not a picture"
    except Image.DecompressionBombError:
        return "far too large"
    except (OSError, SyntaxError, ValueError) as error:
        return str(error) or type(error).__name__
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    return Photo(path, width, height, orientation, lens, focal_px, hashlib.blake2b(data, digest_size=16).hexdigest())


def _lens(exif: Any, longest_side: int) -> tuple[tuple[str, ...], float | None]:
    inner = exif.get_ifd(_EXIF_IFD)
    values = [exif.get(_MAKE), exif.get(_MODEL), inner.get(_FOCAL_LENGTH), inner.get(_FOCAL_LENGTH_35MM)]
    lens = tuple("" if value is None else str(value).strip("\0 ") for value in values)
    try:
        focal = float(inner.get(_FOCAL_LENGTH_35MM) or 0)
    except (TypeError, ValueError, ZeroDivisionError):
        focal = 0.0
    return lens, focal * longest_side / _FULL_FRAME_WIDTH if focal > 0 else None


def _as_it_is(photo: Photo) -> bool:
    return photo.orientation in (0, 1) and photo.path.suffix.lower() != ".webp"  # COLMAP cannot read WebP


def _names(photos: Sequence[Photo]) -> dict[str, Photo]:
    taken = {photo.name for photo in photos}
    names = {}
    for photo in photos:
        name = photo.name
        if photo.path.suffix.lower() == ".webp":
            suffix = ".png" if _has_alpha(photo.path) else ".jpg"
            name = photo.path.stem + suffix if photo.path.stem + suffix not in taken else photo.name + suffix
            taken.add(name)
        names[name] = photo
    return names


def _place(photo: Photo, target: Path) -> None:
    if not _as_it_is(photo):
        _write_upright(photo, target)
        return
    try:
        os.link(photo.path, target)
    except OSError:
        shutil.copyfile(photo.path, target)


def _write_upright(photo: Photo, target: Path) -> None:
    from PIL import Image, ImageOps

    with Image.open(photo.path) as image:
        turned = ImageOps.exif_transpose(image)
        exif = turned.getexif()
        exif.pop(_ORIENTATION, None)
        jpeg = target.suffix.lower() in (".jpg", ".jpeg")
        if jpeg and turned.mode not in ("RGB", "L"):
            turned = turned.convert("RGB")
        extra: dict[str, Any] = {"quality": 95, "subsampling": 0} if jpeg else {}
        profile = image.info.get("icc_profile")
        if profile:
            extra["icc_profile"] = profile
        turned.save(target, exif=exif.tobytes(), **extra)


def _has_alpha(path: Path) -> bool:
    from PIL import Image

    with Image.open(path) as image:
        return _alpha(image)


def _alpha(image: Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
