"""Photos in a folder: which files, their sizes and what EXIF says, without decoding them all."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nerfkit.errors import NerfkitError

if TYPE_CHECKING:
    from PIL.Image import Image

log = logging.getLogger("nerfkit")

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp")
LATER = {"videos": (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v"), "HEIC photos": (".heic", ".heif")}
PHOTO_FOLDERS = ("images", "photos", "input")  # where other tools keep a scene's photos

EXIF_MAKE, EXIF_MODEL, EXIF_ORIENTATION, EXIF_DETAILS = 0x010F, 0x0110, 0x0112, 0x8769
EXIF_FOCAL, EXIF_FOCAL_35MM = 0x920A, 0xA405


@dataclass(frozen=True)
class Photo:
    """One photo file. Width and height are those of the file's pixels, before any turning."""

    path: Path
    width: int
    height: int
    orientation: int = 1  # EXIF 1..8; 1 is upright
    focal_mm: float | None = None
    focal_35mm: float | None = None  # the focal length of the same view on 36x24 mm film
    maker: str = ""  # make and model of the device

    @property
    def name(self) -> str:
        return self.path.name


def find_photos(folder: Path) -> list[Photo]:
    """The readable photos of a folder, sorted by name.

    A folder without photos of its own may hold them in ``images``, ``photos`` or ``input``. Files that
    cannot be read or end too early are left out with a warning that names them.

    Raises:
        NerfkitError: no such folder, no photos in it, only one, or none that can be read.
    """
    if not folder.exists():
        raise NerfkitError(f"{folder}: no such folder; check the path")
    if not folder.is_dir():
        raise NerfkitError(f"{folder}: is a file; give the folder of photos")
    paths = _photo_files(folder)
    photos = [photo for path in paths if (photo := _read_or_warn(path))]
    if not photos:
        raise NerfkitError(f"{folder}: none of its {len(paths)} photos can be read; copy them again from the camera")
    if len(photos) == 1:
        raise NerfkitError(f"{folder}: only one photo ({photos[0].name}); take 20 or more around the scene")
    return photos


def read_photo(path: Path) -> Photo:
    """Size and EXIF of one photo, checked to be whole.

    Raises:
        NerfkitError: not a readable image, or one that ends too early.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            photo = _photo(path, image)
            kind = image.format
            if kind == "PNG":
                image.verify()  # walks the chunks and their checksums, decodes nothing
            elif kind not in ("JPEG", "MPO"):
                image.load()  # no cheaper test for these
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises what its parsers meet: OSError, SyntaxError, ValueError, struct.error…
        raise NerfkitError(f"{path}: not a readable photo ({error})") from None
    if kind in ("JPEG", "MPO") and not _jpeg_is_whole(path.read_bytes()):
        raise NerfkitError(f"{path}: the JPEG is truncated")
    return photo


def _photo_files(folder: Path) -> list[Path]:
    places = [folder, *(folder / name for name in PHOTO_FOLDERS)]
    for place in places:
        found = _with_suffix(place, SUFFIXES)
        if found:
            return found
    for kind, suffixes in LATER.items():
        if found := _with_suffix(folder, suffixes):
            raise NerfkitError(
                f"{folder}: no photos, only {kind} such as {found[0].name}, which nerfkit cannot read yet; "
                f"convert to one of {_words(SUFFIXES)}"
            )
    raise NerfkitError(f"{folder}: no photos in it; expected files ending in {_words(SUFFIXES)}")


def _with_suffix(folder: Path, suffixes: Iterable[str]) -> list[Path]:
    if not folder.is_dir():
        return []
    wanted = tuple(suffixes)  # names that begin with a dot are macOS's resource forks and unfinished downloads
    files = (file for file in folder.iterdir() if file.suffix.lower() in wanted and not file.name.startswith("."))
    return sorted((file for file in files if file.is_file()), key=lambda file: file.name)


def _read_or_warn(path: Path) -> Photo | None:
    try:
        return read_photo(path)
    except NerfkitError as error:
        log.warning("%s; left out", error)
        return None


def _photo(path: Path, image: Image) -> Photo:
    exif = image.getexif()
    details = exif.get_ifd(EXIF_DETAILS)
    orientation = exif.get(EXIF_ORIENTATION, 1)
    return Photo(
        path, image.width, image.height,
        orientation if orientation in range(1, 9) else 1,
        _positive(details.get(EXIF_FOCAL)), _positive(details.get(EXIF_FOCAL_35MM)),
        " ".join(str(exif.get(tag, "")).strip("\0 ") for tag in (EXIF_MAKE, EXIF_MODEL)).strip(),
    )  # fmt: skip


def _positive(value: Any) -> float | None:
    """EXIF's rationals may be 0/0, and its numbers strings."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if 0 < number < float("inf") else None


def _jpeg_is_whole(data: bytes) -> bool:
    """Whether an end marker follows the start of the pixels: a thumbnail's own end does not count."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xDA:  # start of scan: in pixels, FF is always followed by 00 or a restart marker
            return data.find(b"\xff\xd9", at) >= 0
    return False


def _words(suffixes: Iterable[str]) -> str:
    return ", ".join(suffixes)
