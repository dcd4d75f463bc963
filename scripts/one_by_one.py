"""Lets measurements see the operators of steps that call several at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nerfkit.core.native import NativeCore
from nerfkit.core.native_photo_step import PhotoSteps
from nerfkit.core.photo_step import composed_photo_step
from nerfkit.core.types import PhotoStep


@contextmanager
def operators_one_by_one(device_type: str) -> Iterator[None]:
    """What a photo asks of Gaussians is found by calls from Python, not in one call of the library."""
    core, at_once = NativeCore(device_type), PhotoSteps.__call__

    def composed(own: PhotoSteps, *args: Any, **options: Any) -> PhotoStep:
        return composed_photo_step(core, *args, **options)

    PhotoSteps.__call__ = composed  # type: ignore[method-assign]
    try:
        yield
    finally:
        PhotoSteps.__call__ = at_once  # type: ignore[method-assign]
