"""Finds the photos of a folder, reads what their headers say, and turns them upright once."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nerfkit.capture import exif, masks, pixels, walk
from nerfkit.capture.known import Known
from nerfkit.capture.panorama import View
from nerfkit.capture.walk import SUBFOLDERS, SUFFIXES, VIDEO_SUFFIXES, Found, shown
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.progress import ProgressSink, quiet
from nerfkit.threads import threads

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["FEWEST", "SUBFOLDERS", "SUFFIXES", "Photo", "Photos", "UprightFolder", "camera_groups", "find", "upright"]

RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")
FEWEST = 3

_SMALLEST = 32  # pixels of the shorter side; below, there is nothing to find
_LISTED = 10  # names in one warning
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_SUFFIXES_OF = {"JPEG": _JPEG, "MPO": _JPEG, "PNG": (".png",), "BMP": (".bmp",)}

log = logging.getLogger("nerfkit")


@dataclass(frozen=True)
class Photo:
    """A readable photo; nothing of its pixels is kept."""

    path: Path
    width: int  # pixels, as the photo is seen upright
    height: int
    orientation: int  # EXIF: 1 is upright
    lens: tuple[str, ...]  # maker, model and focal lengths by EXIF: equal for photos of one camera at one zoom
    focal_px: float | None  # by EXIF; None where it has none, or one that cannot be
    digest: str  # of the file's content
    relative: str = ""  # the path below the photos' folder, with "/", less odd characters; "": just the file's name
    focal_is_wrong: bool = False  # EXIF has a 35 mm equivalent that nobody should start from
    gps: exif.Gps | None = None  # latitude and longitude in degrees (WGS84), altitude in metres
    taken: datetime | None = None  # by the camera's clock
    alpha: bool = False  # some pixels are transparent: not part of the scene
    rewrite: str = ""  # the suffix with which it must be written anew for COLMAP, OpenCV and browsers to read it alike
    suffix: str = ""  # the suffix that its format should have, where it has a wrong one
    mask: Path | None = None  # white is part of the scene
    mask_digest: str = ""
    pictures: int = 1  # in its file, of which the first one counts

    @property
    def name(self) -> str:
        return self.relative or self.path.name

    @property
    def root(self) -> Path:
        """The photos' folder, which names are relative to."""
        return self.path.parents[self.name.count("/")]


@dataclass(frozen=True)
class Photos:
    """All photos of a folder, sorted by name, and the names of the files that cannot be read."""

    folder: Path
    photos: list[Photo]
    unreadable: list[str]
    duplicates: Mapping[str, str] = field(default_factory=dict)  # left out -> the photo with the same bytes
    ordered: bool = False  # sorted by name, they are in the order they were taken in, as a video's frames are
    rig: tuple[View, ...] = ()  # of views of panoramas: each photo belongs to the view whose prefix its name has


@dataclass(frozen=True)
class UprightFolder:
    """One folder with all photos upright, in a format every reader knows."""

    folder: Path
    names: dict[str, Photo]  # file name in ``folder`` -> the photo it shows


def find(
    folder: Path, progress: ProgressSink = quiet, mask_folder: Path | None = None, fewest: int = FEWEST,
    known: Known | None = None,
) -> Photos:  # fmt: skip
    """The photos in ``folder`` and its subfolders, or in its ``images``, ``photos`` or ``input`` where that has any
    and ``folder`` itself has none.

    Every photo is decoded, at the smallest scale its format offers, to know that it is whole, but for those whose bytes
    are ``known``; a file that is truncated, no picture, or all masked is left out with a warning that names it, and of
    equal files all but the first.

    Args:
        mask_folder: masks of the photos; by default those in folders ``masks`` (:class:`nerfkit.capture.masks.Finder`).
        fewest: readable photos that there must be; fewer do where others come from elsewhere.
        known: gets the photos found.

    Raises:
        NerfkitError: no such folder, no photos in it, or too few readable ones; masks that can't be used.
    """
    files = _photo_files(folder, mask_folder)
    finder = masks.Finder(files.folder, mask_folder)
    for broken in files.broken:
        log.warning("%s: left out, it is a link to nothing", shown(broken.path))
    unreadable = [broken.name for broken in files.broken]
    photos, resized = [], []
    for found, result in zip(files.photos, _read_all(files.photos, finder, known or Known(), progress)):
        if isinstance(result, str):
            log.warning("%s: left out, %s", shown(found.path), result)
            unreadable.append(found.name)
        else:
            photo, mask_is_resized = result
            photos.append(photo)
            if photo.pictures > 1:
                log.warning("%s: has %d pictures, only the first is used", shown(found.path), photo.pictures)
            resized += [shown(photo.mask)] if mask_is_resized and photo.mask is not None else []
    photos, duplicates = _once(photos)
    if len(photos) < fewest:
        raise NerfkitError(_too_few(files, len(photos), bool(unreadable), bool(duplicates)))
    _warn_of_masks(photos, resized, mask_folder)
    return Photos(files.folder, photos, sorted(unreadable), duplicates)


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


def camera_groups(photos: Sequence[Photo]) -> list[list[Photo]]:
    """Photos that may share one camera: same size, same lens at the same zoom; where EXIF names no camera, same folder.
    In order of first appearance."""
    groups: dict[tuple[Any, ...], list[Photo]] = {}
    for photo in photos:
        folder = None if any(photo.lens[:2]) else photo.path.parent
        groups.setdefault((photo.width, photo.height, photo.lens, folder), []).append(photo)
    return list(groups.values())


def has_photos(folder: Path) -> bool:
    """Whether :func:`find` would find any file that looks like a photo."""
    return bool((files := _files_below(folder)) and files.photos)


def has_photos_or_films(folder: Path) -> bool:
    """Whether a folder holds any file that looks like a photo or a video, where :func:`find` would look."""
    return bool((files := _files_below(folder)) and (files.photos or walk.films(files)))


def films(folder: Path) -> list[Found]:
    """The videos in a folder, where :func:`find` looks for photos, which are no photo's moving twin."""
    files = _files_below(folder)
    return [] if files is None else walk.films(files)


def _files_below(folder: Path) -> walk.Files | None:
    try:
        return walk.find(folder) if folder.is_dir() else None
    except OSError:
        return None


def _photo_files(folder: Path, mask_folder: Path | None) -> walk.Files:
    place = shown(folder)
    if not folder.exists():
        raise NerfkitError(f"{place}: no such folder; check the path of the photos")
    if not folder.is_dir():
        raise NerfkitError(f"{place}: is a file, not a folder of photos{_advice([folder])}")
    try:
        files = walk.find(folder, mask_folder)
    except OSError as error:
        raise NerfkitError(f"{place}: the folder cannot be read ({error.strerror}); check its permissions") from None
    if not files.photos and not files.broken:
        raise NerfkitError(f"{place}: no photos in it (looked for {' '.join(SUFFIXES)}){_advice(files.others)}")
    return files


def _advice(files: Sequence[Path]) -> str:
    suffixes = {file.suffix.lower() for file in files}
    film = next((file for file in files if file.suffix.lower() in VIDEO_SUFFIXES), None)
    if film is not None:
        return f"; give the video itself: {shown(film)}"
    if suffixes & set(RAW_SUFFIXES):
        return "; raw photos are not supported: export them as JPEG or TIFF"
    return "; give the folder that holds the photos"


def _too_few(files: walk.Files, count: int, unreadable: bool, duplicates: bool) -> str:
    different = "different " if duplicates else ""
    words = {0: "no readable photo", 1: f"only one {different}photo"}.get(count, f"only {count} {different}photos")
    if unreadable and count:
        words += f" of {len(files.photos) + len(files.broken)} readable"
    return (
        f"{shown(files.folder)}: {words}; poses need at least {FEWEST} photos that overlap, 20 to 200 are a good number"
    )


def _once(photos: Sequence[Photo]) -> tuple[list[Photo], dict[str, str]]:
    """Photos with different bytes, and the names of those left out with the photo they are equal to."""
    first: dict[str, Photo] = {}
    duplicates = {}
    for photo in photos:
        if photo is not first.setdefault(photo.digest, photo):
            duplicates[photo.name] = first[photo.digest].name
    if duplicates:
        pairs = [f"{copy} (= {name})" for copy, name in duplicates.items()]
        log.warning("%d photos left out, they are copies of others: %s", len(pairs), _listed(pairs))
    return list(first.values()), duplicates


def _warn_of_masks(photos: Sequence[Photo], resized: Sequence[str], mask_folder: Path | None) -> None:
    without = [photo.name for photo in photos if photo.mask is None]
    if mask_folder is not None and len(without) == len(photos):
        raise NerfkitError(
            f"{shown(mask_folder)}: none of its files is the mask of a photo; name them like {photos[0].name}.png"
        )
    if without and len(without) < len(photos):
        log.warning("%d of %d photos have no mask: %s", len(without), len(photos), _listed(without))
    if resized:
        log.warning("%d masks have another size than their photos and are resized: %s", len(resized), _listed(resized))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", …" if len(names) > _LISTED else "")


def _read_all(
    files: Sequence[Found], finder: masks.Finder, known: Known, progress: ProgressSink
) -> list[tuple[Photo, bool] | str]:
    """Each photo, and whether its mask had to be resized; or what is wrong with it in words."""
    read: list[tuple[Photo, bool] | str] = []
    with pixels.large_pictures(), threads() as pool:
        for result in pool.map(lambda file: _read(file, finder, known), files):
            read.append(result)
            progress("photos", len(read), len(files))
    return read


def _read(file: Found, finder: masks.Finder, known: Known) -> tuple[Photo, bool] | str:
    from PIL.Image import DecompressionBombError

    try:
        data = file.path.read_bytes()
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        photo, hidden = known.get(file.path, file.name, digest), False
        if photo is None:
            photo, hidden = _decoded(file, data, digest)
    except (DecompressionBombError, MemoryError):
        return "it cannot be read (far too large)"
    except Exception as error:  # Pillow's decoders meet bytes of any kind, and fail in as many ways
        return f"it cannot be read ({_words(error)})"
    if min(photo.width, photo.height) < _SMALLEST:
        return f"it is too small ({photo.width}x{photo.height} pixels)"
    if hidden:
        return "all of it is transparent"
    known.add(photo)
    place = finder.find(file.path)
    if place is None:
        return photo, False
    mask, resized = masks.read(place, (photo.width, photo.height), photo.orientation)
    if mask.getbbox() is None:
        return f"its mask {shown(place)} is all black"
    digest = hashlib.blake2b(place.read_bytes(), digest_size=16).hexdigest()
    return replace(photo, mask=place, mask_digest=digest), resized


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return shown(str(error)) or type(error).__name__


def _decoded(file: Found, data: bytes, digest: str) -> tuple[Photo, bool]:
    """The photo in a file's bytes, and whether all of its pixels are transparent."""
    with pixels.open_picture(data) as image:
        size, mode, kind, frames = image.size, image.mode, str(image.format), _frames(image)
        if mode not in pixels.MODES:
            raise ValueError(f"its pixel format {mode} is not supported")
        plain = _is_plain(image, data)
        before = exif.read(image, size) if kind == "TIFF" else None
        image.draft("RGB", (max(1, size[0] // 8), max(1, size[1] // 8)))
        image.load()
        after = exif.read(image, size)  # only now: to look for EXIF in a PNG decodes it
        facts = before or after  # Pillow has turned a TIFF by now, and has told so by taking the tag away
        width, height = size if kind in ("JPEG", "MPO") else image.size
        alpha = pixels.has_alpha(image)
        hidden = alpha and not image.convert("RGBA").getchannel("A").getextrema()[1]
        opaque = mode in ("RGBA", "LA") and not alpha
    if after.orientation in (5, 6, 7, 8):
        width, height = height, width
    plain = plain and not opaque and facts.orientation == 1 and frames == 1
    rewrite = "" if plain else _suffix_of_new(kind, file.path.suffix.lower(), alpha)
    suffix = _right_suffix(kind, file.path.suffix.lower()) if plain else ""
    photo = Photo(
        file.path, width, height, facts.orientation, facts.lens, facts.focal_px, digest, file.name,
        facts.focal_is_wrong, facts.gps, facts.taken, alpha, rewrite, suffix, pictures=frames,
    )  # fmt: skip
    return photo, hidden


def _frames(image: Image) -> int:
    """How many pictures the file holds, less those that go with a JPEG: previews, gain maps, the other eye."""
    try:
        return 1 if image.format in ("JPEG", "MPO") else int(getattr(image, "n_frames", 1))
    except Exception:  # a broken second picture
        return 1


def _is_plain(image: Image, data: bytes) -> bool:
    """Whether COLMAP, OpenCV and browsers read the file as it is, and see the same colours. No browser reads TIFF."""
    colors = {"RGBA": "RGB", "LA": "L"}.get(image.mode, image.mode)
    if not pixels.is_srgb(image.info.get("icc_profile") or b"", colors):
        return False
    if image.format in ("JPEG", "MPO"):
        return image.mode in ("RGB", "L") and data.rfind(b"\xff\xd9", len(data) // 2) > 0  # as nerfkit.data wants it
    if pixels.is_sixteen_bit(image) or "transparency" in image.info:
        return False
    return image.mode in {"PNG": ("RGB", "L", "RGBA"), "BMP": ("RGB",)}.get(str(image.format), ())


def _suffix_of_new(kind: str, suffix: str, alpha: bool) -> str:
    """The suffix of a rewritten photo: a JPEG stays one, what had no loss gets none."""
    if alpha or kind in ("PNG", "TIFF", "BMP", "GIF"):
        return suffix if kind == "PNG" and suffix == ".png" else ".png"
    return suffix if suffix in _JPEG else ".jpg"


def _right_suffix(kind: str, suffix: str) -> str:
    """The suffix of a picture's format, where ``suffix`` isn't one; else an empty one."""
    return "" if suffix in _SUFFIXES_OF[kind] else _SUFFIXES_OF[kind][0]


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
        _write_upright(photo, target) if photo.rewrite else _link(photo, target)
    except FileNotFoundError:
        raise NerfkitError(
            f"{shown(photo.path)}: is gone; run the command again with the photos that are left"
        ) from None


def _link(photo: Photo, target: Path) -> None:
    source = os.path.realpath(photo.path)  # a link to a link would lead nowhere from there
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write_upright(photo: Photo, target: Path) -> None:
    from PIL import ImageOps

    with pixels.open_picture(photo.path.read_bytes()) as image:
        image.load()
        turned = ImageOps.exif_transpose(image)
        facts = _exif_without_orientation(turned)
        upright = pixels.to_srgb(turned)
    jpeg = target.suffix.lower() in _JPEG
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
