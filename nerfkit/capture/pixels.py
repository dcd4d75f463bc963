"""Pictures of any format as what COLMAP, OpenCV and browsers read alike: upright 8-bit sRGB, straight alpha."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_PIXELS = 1 << 28  # phones make 200 megapixels
MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "I;16", "I;16B", "I")
_FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP", "GIF", "HEIF", "AVIF")  # others never run on bytes of users
_SAME_COLOR = 2  # levels of 255: a profile that changes no colour by more is sRGB


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    import pillow_heif
    from PIL import Image

    logging.getLogger("PIL").addHandler(logging.NullHandler())
    Image.init()
    pillow_heif.register_heif_opener()
    return [name for name in _FORMATS if name in Image.OPEN]


@contextmanager
def large_pictures() -> Iterator[None]:
    """Lifts Pillow's guard against decompression bombs, which stands at 179 megapixels: :func:`open_picture` has its
    own. Silences Pillow."""
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the files' metadata, in words that help nobody
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def open_picture(data: bytes) -> Image:
    """The picture in a file's bytes, not decoded yet; call it, and decode, within :func:`large_pictures`.

    Raises:
        ValueError: empty, no picture of a known format, too many pixels.
    """
    from PIL import Image, UnidentifiedImageError

    if not data:
        raise ValueError("empty")
    try:
        image = Image.open(io.BytesIO(data), formats=_formats())
    except UnidentifiedImageError:
        raise ValueError("not a picture") from None
    if image.width * image.height > MOST_PIXELS:
        raise ValueError(f"far too large: {image.width}x{image.height} pixels")
    return image


def is_sixteen_bit(image: Image) -> bool:
    """Whether the file has 16 bits a channel; asked before it is decoded, since Pillow's modes don't tell."""
    return ";16" in repr(getattr(image, "tile", "")) or image.mode.startswith("I")


def has_alpha(image: Image) -> bool:
    """Whether a decoded image has pixels that aren't opaque."""
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)
    return False


def to_srgb(image: Image) -> Image:
    """A decoded image as RGB, or as RGBA where it has transparent pixels, 8 bits, in sRGB."""
    from PIL import Image as images

    alpha = image.convert("RGBA").getchannel("A") if has_alpha(image) else None
    profile = image.info.get("icc_profile") or b""
    if image.mode.startswith("I"):
        levels = np.asarray(image).clip(0, 65535) / 257
        image = images.fromarray((levels + 0.5).astype(np.uint8))
    elif image.mode in ("1", "L", "LA", "La"):
        image = image.convert("LA").getchannel("L")
    elif image.mode != "CMYK":
        image = image.convert("RGBA").convert("RGB") if alpha else image.convert("RGB")
    transform = None if is_srgb(profile, image.mode) else _transform(profile, image.mode)
    if transform is not None:
        image = transform.apply(image)
    image = image.convert("RGB")
    if alpha is not None:
        image.putalpha(alpha)
    return image


@lru_cache(maxsize=64)
def is_srgb(profile: bytes, mode: str) -> bool:
    """Whether an ICC profile leaves the colours of images of ``mode`` (L, RGB, CMYK) as sRGB has them.

    By colours, not by its name; a profile that can't be used, since it is broken or for another mode, counts as sRGB.
    """
    from PIL import Image

    transform = _transform(profile, mode)
    if transform is None:
        return True
    if mode == "CMYK":
        return False
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    channels = 1 if mode == "L" else 3
    colors = np.stack(np.meshgrid(*[steps] * channels), -1).reshape(-1, 1, channels)
    colors = np.ascontiguousarray(colors[..., 0] if channels == 1 else colors)
    changed = np.asarray(transform.apply(Image.fromarray(colors))).astype(int)
    return bool(np.abs(changed - colors.reshape(-1, 1, channels)).max() <= _SAME_COLOR)


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> Any:
    """Pillow's transform from images of ``mode`` with an ICC profile to sRGB; None where there is none."""
    from PIL import ImageCms

    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        if {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(space) != mode:
            return None
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOCACHE  # many threads share it
        return ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC, flags
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
