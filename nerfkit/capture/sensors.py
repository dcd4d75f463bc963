"""How large a camera's sensor is, by its maker and model: from the database of lensfun, which lensfunpy brings."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_VARIANTS = 1.05  # factor between the crop factors of one model's modes: beyond, the mode would have to be known


@lru_cache(maxsize=256)  # a set of photos has few cameras
def crop_factor(maker: str, model: str) -> float | None:
    """The diagonal of 35 mm film over that of the sensor, for a camera as EXIF names it.

    None: lensfun doesn't know the camera, or knows modes of it that differ by more than 5 %.
    """
    if not maker or not model:  # which lensfun takes for any
        return None
    factors = [float(camera.crop_factor) for camera in _database().find_cameras(maker, model)]
    if not factors or min(factors) <= 0 or max(factors) > _VARIANTS * min(factors):
        return None
    return sum(factors) / len(factors)


@lru_cache(maxsize=1)
def _database() -> Any:
    import lensfunpy

    return lensfunpy.Database()
