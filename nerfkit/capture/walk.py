"""The photo files below a folder, each with a name that every later stage and program can bear."""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".tif", ".tiff", ".webp", ".bmp", ".heic", ".heif", ".hif", ".avif",
)  # fmt: skip
VIDEO_SUFFIXES = (
    ".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".3gp", ".mts", ".m2ts", ".mpg", ".mpeg", ".wmv",
)  # fmt: skip
SUBFOLDERS = ("images", "photos", "input")  # where the photos lie when a scene's folder is given
MASK_FOLDERS = ("masks", "mask")

_NOT_OURS = ("@eadir", "__macosx", "$recycle.bin")  # thumbnails and waste of other programs
_SHRUNK = ("images_2", "images_4", "images_8")  # nerfstudio's and mip-NeRF 360's copies of images
_LONGEST = 180  # bytes of a name between two slashes: file systems allow 255, and suffixes are yet to come

log = logging.getLogger("nerfkit")


@dataclass(frozen=True)
class Found:
    path: Path
    name: str  # relative to the photos' folder, with "/": valid UTF-8 without control characters or backslashes


@dataclass(frozen=True)
class Files:
    folder: Path  # names are relative to it
    photos: list[Found]  # sorted by name
    others: list[Path]  # files that are no photos by their suffix
    broken: list[Found]  # photos by their suffix that are links to nothing


def find(folder: Path, masks: Path | None = None) -> Files:
    """The photos in ``folder`` and all folders below; where none lie in it directly, first those in its subfolder
    ``images``, ``photos`` or ``input``.

    Links are followed, each folder is visited once. Hidden folders, folders of masks, and what nerfkit or other
    programs derive from photos are left out.

    Raises:
        OSError: ``folder`` cannot be read.
    """
    entries = [entry.path for entry in os.scandir(folder)]
    direct = any(_is_photo(Path(path)) and _kind(path) == stat.S_IFREG for path in entries)
    places = [] if direct else [folder / name for name in SUBFOLDERS if (folder / name).is_dir()]
    found = Files(folder, [], [], [])
    for place in (*places, folder):
        found = _all_below(place, masks)
        if found.photos or found.broken:
            break
    return found


def films(files: Files) -> list[Found]:
    """The videos among the other files, less those that cameras add to a photo of the same name: live photos."""
    stills = {found.path.with_suffix("") for found in files.photos}
    paths = [path for path in files.others if path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")]
    return _named(files.folder, [path for path in paths if path.with_suffix("") not in stills])


def shown(path: Path | str) -> str:
    """A path for a message of one line."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in str(path))


def is_output(folder: Path) -> bool:
    """Whether nerfkit made this folder: poses (which hold copies of photos) or a run (which holds renders)."""
    return (
        (folder / ".cache" / "nerfkit-poses.json").is_file()
        or (folder / ".stages").is_dir()
        or ((folder / "config.toml").is_file() and (folder / "scene.json").is_file())
    )


def _all_below(folder: Path, masks: Path | None) -> Files:
    photos: list[Path] = []
    others: list[Path] = []
    broken: list[Path] = []
    visited = {os.path.realpath(masks)} if masks is not None else set()
    for path in _walk(folder, visited):
        if not _is_photo(path):
            others.append(path)
        else:
            (photos if _kind(path) == stat.S_IFREG else broken).append(path)
    names = {path.as_posix().casefold() for path in photos}
    photos = [path for path in photos if not _is_mask_of_another(path, names)]
    return Files(folder, *(_named(folder, photos), others, _named(folder, broken)))


def _walk(folder: Path, visited: set[str]) -> Iterator[Path]:
    """Regular files and dangling links; ``visited`` has the real paths of the folders that are done."""
    left = [folder]
    while left:
        folder = left.pop()
        real = os.path.realpath(folder)
        if real in visited:
            continue
        visited.add(real)
        try:
            entries = sorted(entry.name for entry in os.scandir(folder))
        except OSError as error:
            log.warning("%s: left out, the folder cannot be read (%s)", shown(folder), error.strerror)
            continue
        kinds = {name: _kind(folder / name) for name in entries if not name.startswith(".")}
        shrunk = _SHRUNK if "images" in kinds else ()
        for name, kind in kinds.items():
            if kind in (stat.S_IFREG, 0):
                yield folder / name
            elif kind == stat.S_IFDIR and name.lower() not in (*MASK_FOLDERS, *_NOT_OURS, *shrunk):
                left += [folder / name] if not is_output(folder / name) else []


def _kind(path: str | Path) -> int:
    """The type of what a path leads to, as :mod:`stat` has it; 0 for a link to nothing or to itself."""
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except OSError:
        return 0


def _is_photo(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _is_mask_of_another(path: Path, names: set[str]) -> bool:
    """COLMAP's masks are named ``NAME.jpg.png``, and may lie beside ``NAME.jpg``."""
    return path.suffix.lower() == ".png" and path.with_suffix("").as_posix().casefold() in names


def _named(folder: Path, paths: list[Path]) -> list[Found]:
    taken: set[str] = set()
    found = []
    for path in sorted(paths):
        name = "/".join(_clean(part) for part in path.relative_to(folder).parts)
        count = 1
        while (unique := name if count == 1 else _numbered(name, count)) in taken:
            count += 1
        taken.add(unique)
        found.append(Found(path, unique))
    return sorted(found, key=lambda item: item.name)


def _clean(part: str) -> str:
    """A file's or folder's name, less what later stages or other programs stumble over."""
    part = "".join(char if char.isprintable() and char != "\\" else "_" for char in part)
    if len(part.encode()) <= _LONGEST:
        return part
    stem, suffix = os.path.splitext(part)
    digest = hashlib.blake2b(part.encode(), digest_size=4).hexdigest()
    return stem.encode()[: _LONGEST - len(suffix.encode()) - 9].decode(errors="ignore") + "-" + digest + suffix


def _numbered(name: str, count: int) -> str:
    stem, suffix = os.path.splitext(name)
    return f"{stem}-{count}{suffix}"
