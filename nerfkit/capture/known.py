"""What is known of photos by their bytes, so that another run need not decode them to know that they are whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from nerfkit.capture.photo import Photo

_OF_ITS_PLACE = ("path", "relative", "mask", "mask_digest")  # all else is in a photo's bytes, but for its suffix


class Known:
    """The photos of an earlier run, by digest and suffix; and those that this one has found. Threads may share it."""

    VERSION: ClassVar = 1  # of what decoding tells of a photo; under another one all are decoded anew

    def __init__(self, earlier: Mapping[str, Any] | None = None) -> None:
        """Args: earlier: what :meth:`to_json` gave."""
        self._earlier, self._found = earlier or {}, dict[str, Any]()

    def get(self, path: Path, name: str, digest: str) -> Photo | None:
        """The photo in a file, as decoding it would give it; None: it must be decoded."""
        facts: Any = self._earlier.get(_key(path, digest))
        try:
            gps, taken = facts["gps"], facts["taken"]
            return Photo(path=path, relative=name, digest=digest, **facts | {
                "lens": tuple(facts["lens"]),
                "gps": gps and tuple(gps),
                "taken": taken and datetime.fromisoformat(taken),
            })  # fmt: skip
        except (KeyError, TypeError, ValueError):  # not known, or of another nerfkit
            return None

    def add(self, photo: Photo) -> None:
        facts = {field.name: getattr(photo, field.name) for field in fields(photo)}
        for name in (*_OF_ITS_PLACE, "digest"):
            del facts[name]
        key = _key(photo.path, photo.digest)
        self._found[key] = facts | {
            "lens": list(photo.lens),
            "gps": photo.gps and list(photo.gps),
            "taken": photo.taken and photo.taken.isoformat(),
        }

    def to_json(self) -> dict[str, Any]:
        """Of the photos that were found in this run, and of no others."""
        return self._found


def _key(path: Path, digest: str) -> str:
    return digest + path.suffix.lower()
