"""Finds the photos of a folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfkit.capture import masks, pixels, walk
from nerfkit.capture.known import Known
from nerfkit.capture.panorama import View
from nerfkit.capture.photo import Photo, read
from nerfkit.capture.upright import UprightFolder, upright
from nerfkit.capture.walk import SUBFOLDERS, SUFFIXES, VIDEO_SUFFIXES, Found, shown
from nerfkit.errors import NerfkitError
from nerfkit.progress import ProgressSink, quiet
from nerfkit.threads import threads

__all__ = ["FEWEST", "SUBFOLDERS", "SUFFIXES", "Photo", "Photos", "UprightFolder", "camera_groups", "find", "upright"]

RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw")
FEWEST = 3

_LISTED = 10  # names in one warning

log = logging.getLogger("nerfkit")


@dataclass(frozen=True)
class Photos:
    """All photos of a folder, sorted by name, and the names of the files that cannot be read."""

    folder: Path
    photos: list[Photo]
    unreadable: list[str]
    duplicates: Mapping[str, str] = field(default_factory=dict)  # left out -> the photo with the same bytes
    ordered: bool = False  # sorted by name, they are in the order they were taken in, as a video's frames are
    rig: tuple[View, ...] = ()  # of views of panoramas: each photo belongs to the view whose prefix its name has


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
    """What :func:`read` gives of each file."""
    results: list[tuple[Photo, bool] | str] = []
    with pixels.large_pictures(), threads() as pool:
        for result in pool.map(lambda file: read(file, finder, known), files):
            results.append(result)
            progress("photos", len(results), len(files))
    return results
