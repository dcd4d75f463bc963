"""Textures as files."""

from __future__ import annotations

import io
from typing import Literal

import numpy as np
from PIL import Image

ImageFormat = Literal["jpeg", "png", "webp"]

MIME_TYPES: dict[str, str] = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
SUFFIXES: dict[str, str] = {"jpeg": ".jpg", "png": ".png", "webp": ".webp"}

_QUALITY = 92  # of JPEG and WebP


def encode(image: np.ndarray, image_format: ImageFormat) -> bytes:
    """The bytes of an image file; ``image`` is [H, W, 3] uint8."""
    options: dict[str, object] = {}
    if image_format == "jpeg":
        # colours at full resolution: in an atlas, neighbours belong to places far apart
        options = {"quality": _QUALITY, "subsampling": 0, "optimize": True}
    elif image_format == "webp":
        options = {"quality": _QUALITY, "method": 4}
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(stream, image_format, **options)
    return stream.getvalue()
