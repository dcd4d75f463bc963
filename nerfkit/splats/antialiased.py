"""How a file says that its Gaussians are antialiased (:class:`nerfkit.contracts.Gaussians`).

PLYs say it in a comment: ``SplatRenderMode: mip`` of Brush and splat-transform, which is written, or ``antialiased 1``
of Postshot. A SOG's meta.json has it as its ``model``, as splat-transform's do; .spz has a flag. Others can't say it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_SAYING = {"splatrendermode: mip": True, "antialiased 1": True, "antialiased 0": False}
_MODE = "splatrendermode:"
_MODEL = "antialiased"


def comments(antialiased: bool) -> list[str]:
    """The lines of a PLY's header that say it."""
    return ["comment SplatRenderMode: mip"] if antialiased else []


def by_comments(texts: Iterable[str]) -> bool:
    """What a PLY says in its comments, given without the word ``comment``; the last counts."""
    found = False
    for text in texts:
        words = " ".join(text.lower().split())
        if words.startswith(_MODE) or words in _SAYING:
            found = _SAYING.get(words, False)
    return found


def meta(antialiased: bool) -> dict[str, str]:
    """The entries of a SOG's meta.json that say it."""
    return {"model": _MODEL} if antialiased else {}


def by_meta(entries: Mapping[str, Any]) -> bool:
    """What a SOG's meta.json says."""
    return entries.get("model") == _MODEL
