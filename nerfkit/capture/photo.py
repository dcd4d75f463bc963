"""One photo: what its header says, and whether its pixels are whole."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nerfkit.capture import exif, masks, pixels
from nerfkit.capture.walk import Found, shown

if TYPE_CHECKING:
    from PIL.Image import Image

    from nerfkit.capture.known import Known

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")

_SMALLEST = 32  # pixels of the shorter side; below, there is nothing to find
_SUFFIXES_OF = {"JPEG": JPEG, "MPO": JPEG, "PNG": (".png",), "BMP": (".bmp",)}


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


def read(file: Found, finder: masks.Finder, known: Known) -> tuple[Photo, bool] | str:
    """The photo, and whether its mask had to be resized; or what is wrong with it in words.

    Args: known: photos that need not be decoded; gets this one.
    """
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
        facts.gps, facts.taken, alpha, rewrite, suffix, pictures=frames,
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
    return suffix if suffix in JPEG else ".jpg"


def _right_suffix(kind: str, suffix: str) -> str:
    """The suffix of a picture's format, where ``suffix`` isn't one; else an empty one."""
    return "" if suffix in _SUFFIXES_OF[kind] else _SUFFIXES_OF[kind][0]
