"""From a folder of files to photos that can be worked with: found, checked, upright."""

from __future__ import annotations

from nerfkit.capture.photos import Photo, find_photos
from nerfkit.capture.upright import make_upright

__all__ = ["Photo", "find_photos", "make_upright"]
