"""What ``nerfkit.h``, with what it includes, says of the core: its constants, and the arguments of every operator."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Field:
    name: str
    ctype: str
    shape: tuple[str, ...] | None  # None: a number
    optional: bool
    on_host: bool = False  # not in a GPU's memory: an array that the operator itself reads or writes
    read_only: bool = False


def _headers() -> Path:
    """Where ``nerfkit.h`` lies: in ``include/`` beside this file when installed, in ``cuda_ext/`` in a checkout."""
    installed = Path(__file__).with_name("include")
    return installed if installed.exists() else Path(__file__).parents[2] / "cuda_ext"


def header_text() -> str:
    """``nerfkit.h`` and, below it, the headers of ``operators/`` that it includes."""
    text = (_headers() / "nerfkit.h").read_text()
    included = re.findall(r'^#include "(operators/\w+\.h)"$', text, re.MULTILINE)
    return "\n".join([text, *((_headers() / name).read_text() for name in included)])


@functools.cache
def constants() -> dict[str, float]:
    """The constants of ``math/constants.h``, by name without the prefix: ``constants()["ALPHA_MIN"]``."""
    header = (_headers() / "math" / "constants.h").read_text()
    found: dict[str, float] = {}
    for name, text in re.findall(r"#define NK_(\w+) +([^/\n]+(?:/ [\d.]+f\))?)", header):
        numerator, _, denominator = text.replace("f", "").strip("() ").partition("/")
        found[name] = float(numerator) / float(denominator) if denominator else float(numerator)
    return found


def parse_header(text: str) -> dict[str, tuple[Field, ...]]:
    """The fields of every ``typedef struct nk_…_params`` in the header's text."""
    structs = {}
    for name, body in re.findall(r"typedef struct (nk_\w+_params) \{(.*?)\} \1;", text, re.DOTALL):
        fields = []
        for line in body.strip().splitlines():
            match = re.match(
                r"\s*(const )?(\w+) (\*?)(\w+);(?:\s*/\* (?:\[([\w, ]*)\])?( or NULL)?( on the host)?)?", line
            )
            if match is None:
                raise ValueError(f"nerfkit.h: {name}: cannot read the line {line.strip()!r}")
            const, ctype, star, field, shape, optional, on_host = match.groups()
            sizes = tuple(size.strip() for size in shape.split(",")) if star and shape is not None else None
            fields.append(Field(field, ctype, sizes, optional is not None, on_host is not None, const is not None))
        structs[name] = tuple(fields)
    return structs
