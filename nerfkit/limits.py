"""What values a numeric option can have, written beside its type: ``samples: Annotated[int, Within(1, 8)] = 1``.

The command line checks them for every verb before it begins.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Collection
from dataclasses import dataclass
from typing import Annotated, Any

from nerfkit.errors import NerfkitError

_MOST = sys.float_info.max


@dataclass(frozen=True)
class Within:
    """From ``least`` to ``most``; nothing that is not finite."""

    least: float
    most: float = _MOST
    above: bool = False  # ``least`` itself is too little
    or_zero: bool = False  # 0 means something else, such as all

    def holds(self, value: float) -> bool:
        enough = value > self.least if self.above else value >= self.least
        return (enough and value <= self.most) or (self.or_zero and value == 0)

    @property
    def words(self) -> str:
        zero = "0, or " if self.or_zero else ""
        if self.above:
            upper = "" if self.most == _MOST else f", {_plain(self.most)} at most"
            return f"{zero}more than {self.least:g}{upper}"
        return zero + (f"{self.least:g} or more" if self.most == _MOST else f"{self.least:g} to {_plain(self.most)}")


Share = Annotated[float, Within(0, 1)]
PositiveShare = Annotated[float, Within(0, 1, above=True)]
Positive = Annotated[float, Within(0, above=True)]
NotNegative = Annotated[float, Within(0)]
Count = Annotated[int, Within(1)]
Natural = Annotated[int, Within(0)]
Degree = Annotated[int, Within(0, 3)]  # of spherical harmonics
Port = Annotated[int, Within(0, 65535)]
Seed = Annotated[int, Within(0, 2**31 - 1)]  # COLMAP's has 32 bits
Threads = Annotated[int, Within(1, 4096)]
Frames = Annotated[int, Within(3, 100_000)]  # of a video: fewer photos have no poses
Faces = Annotated[int, Within(100, or_zero=True)]
FrameRate = Annotated[float, Within(0.01, 1000)]  # encoders know none below
Resize = Annotated[float, Within(1e-12)]  # of splats: less is nothing to a float
HoldOut = Annotated[int, Within(2, or_zero=True)]  # every n-th photo: 1 would be all of them


def check(options: Any, prefix: str = "", leave: Collection[str] = ()) -> None:
    """Checks every option of a dataclass but those named, and of those within it, whose names become ``--outer.inner``.

    Raises:
        NerfkitError: a value out of its limits; the first of them, in one line.
    """
    hints = typing.get_type_hints(type(options), include_extras=True)
    for field in dataclasses.fields(options):
        value, name = getattr(options, field.name), prefix + field.name.replace("_", "-")
        if field.name in leave:
            continue
        if dataclasses.is_dataclass(value):
            check(value, f"{name}.")
            continue
        limit = limit_of(hints[field.name])
        if limit is None or not isinstance(value, int | float) or limit.holds(value):
            continue
        auto = ", or auto" if "auto" in _literals(hints[field.name]) else ""
        raise NerfkitError(f"--{name} {value if isinstance(value, int) else f'{value:g}'}: must be {limit.words}{auto}")


def limit_of(hint: Any) -> Within | None:
    """The limit in a type, wherever in a union it stands."""
    for part in (*getattr(hint, "__metadata__", ()), *typing.get_args(hint)):
        found = part if isinstance(part, Within) else limit_of(part)
        if found is not None:
            return found
    return None


def _literals(hint: Any) -> list[Any]:
    own = list(typing.get_args(hint)) if typing.get_origin(hint) is typing.Literal else []
    return own + [word for part in typing.get_args(hint) for word in _literals(part)]


def _plain(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


def is_number(word: str) -> bool:
    """Whether a word of a command line or a file is a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True
