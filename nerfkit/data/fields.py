"""Values out of files that others wrote: each is there, of the right kind and finite, or the error names it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError


@dataclass(frozen=True)
class Fields:
    """A JSON object within a file, and the words for where it stands."""

    file: Path
    values: Mapping[str, Any]
    where: str = "the file"

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def number(self, key: str, default: float | None = None) -> float:
        """Raises NerfkitError: it is missing (without a default), no number, or not finite."""
        return float(self.numbers(key, (), None if default is None else default))

    def count(self, key: str) -> int:
        """A positive whole number, such as a width in pixels."""
        value = self.number(key)
        if not 1 <= value < 1 << 20 or value != int(value):
            raise self.wrong(key, "a positive whole number", value)
        return int(value)

    def numbers(self, key: str, shape: tuple[int, ...], default: Any = None) -> NDArray[np.float64]:
        """An array of finite numbers of just this shape."""
        value = self.values.get(key)
        value = default if value is None else value
        if value is None:
            raise self.missing(key)
        wanted = " x ".join(map(str, shape)) + " finite numbers" if shape else "a finite number"
        try:
            array = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise self.wrong(key, wanted, value) from None
        if array.shape != shape or not np.isfinite(array).all():
            raise self.wrong(key, wanted, value)
        return array

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if value is None:
            raise self.missing(key)
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text", value)
        return value

    def fields(self, key: str, where: str | None = None) -> Fields:
        """The object ``key``; ``where`` names it, by default the key itself."""
        value = self.values.get(key)
        if value is None:
            raise self.missing(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object", value)
        return Fields(self.file, value, where or f"'{key}' of {self.where}")

    def items(self, key: str) -> list[Fields]:
        """The objects in the list ``key``."""
        value = self.values.get(key)
        if value is None:
            raise self.missing(key)
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise self.wrong(key, "a list of objects", value)
        return [Fields(self.file, item, f"entry {index} of '{key}'") for index, item in enumerate(value)]

    def missing(self, key: str) -> NerfkitError:
        return NerfkitError(f"{self.file}: {self.where} has no '{key}'; export the file again")

    def wrong(self, key: str, wanted: str, value: Any) -> NerfkitError:
        shown = " ".join(str(value).split())
        shown = shown if len(shown) <= 40 else shown[:40] + "…"
        return NerfkitError(
            f"{self.file}: '{key}' of {self.where} must be {wanted}, got {shown}; export the file again"
        )


def load_object(file: Path, kind: str) -> Any:
    """What a JSON file holds.

    Raises:
        NerfkitError: it cannot be read, or is no JSON, as a truncated one isn't.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise NerfkitError(f"{file}: not valid JSON ({error}); it may be truncated: export the {kind} again") from None


def begins_with(file: Path, *words: str, size: int = 4096) -> bool:
    """Whether one of ``words`` stands at the beginning of a text file."""
    try:
        with file.open("rb") as stream:
            head = stream.read(size)
    except OSError:
        return False
    return any(word.encode() in head for word in words)
