"""Which axis of splats is up, and how a file says it.

Splat formats but glTF, which has +Y up, leave that open: runs of nerfkit have +Z up, most files of other programs have
-Y. A PLY says it in a comment, as nerfstudio's do (``comment Vertical Axis: z``), but just before ``end_header``: some
readers take the third line for the number of vertices. SOG says it as ``upAxis`` of the ``asset`` in its meta.json.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import torch
from torch import Tensor

from nerfkit.data.similarity import Similarity

Up = Literal["z", "y", "-y"]

USUAL: Up = "-y"  # of files that don't say it
AXES: dict[Up, tuple[float, float, float]] = {"z": (0.0, 0.0, 1.0), "y": (0.0, 1.0, 0.0), "-y": (0.0, -1.0, 0.0)}
# Without a sign only z is clear: Brush's files have "y" whichever way up they are.
_WORDS: dict[str, Up] = {"z": "z", "+z": "z", "+y": "y", "-y": "-y"}
_WRITTEN: dict[Up, str] = {"z": "z", "y": "+y", "-y": "-y"}
_COMMENT = "vertical axis:"
_ASSET = "upAxis"
_NEAREST = 0.71  # cosine of 45 degrees: one axis at most is nearer to a direction
_STILL = 1e-6  # how far an axis may move that stays where it is
_TURNS: dict[Up, list[list[float]]] = {  # half turns about Z as PlayCanvas does, or a quarter about X
    "z": [[1.0, 0, 0], [0, 0, 1], [0, -1, 0]],
    "y": [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]],
    "-y": [[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]],
}


def comments(up: Up | None) -> list[str]:
    """The lines of a PLY's header that say it."""
    return [] if up is None else [f"comment Vertical Axis: {_WRITTEN[up]}"]


def of_comments(texts: Iterable[str]) -> Up | None:
    """What a PLY says in its comments, given without the word ``comment``; the last counts."""
    found = None
    for text in texts:
        if text.lower().startswith(_COMMENT):
            found = _WORDS.get(text[len(_COMMENT) :].strip().lower())
    return found


def asset(up: Up | None) -> dict[str, str]:
    """The entries of a SOG's ``asset`` that say it."""
    return {} if up is None else {_ASSET: _WRITTEN[up]}


def of_asset(entries: Any) -> Up | None:
    """What a SOG says in its ``asset``, whatever that is."""
    word = entries.get(_ASSET) if isinstance(entries, dict) else None
    return _WORDS.get(word.lower()) if isinstance(word, str) else None


def nearest(direction: Tensor) -> Up | None:
    """The axis within 45 degrees of a direction [3] of unit length; None: it is none of those."""
    near = {up: float(direction.double() @ torch.tensor(axis).double()) for up, axis in AXES.items()}
    best = max(near, key=lambda up: near[up])
    return best if near[best] > _NEAREST else None


def kept(up: Up | None, rotation: Tensor) -> Up | None:
    """The axis where a rotation [3, 3] leaves it as it is, else None."""
    if up is None:
        return None
    axis = torch.tensor(AXES[up]).double()
    return up if float((rotation.double() @ axis - axis).norm()) < _STILL else None


def turn(up: Up) -> Similarity:
    """glTF's frame, +Y up, from one whose up is that axis."""
    return Similarity(1.0, torch.tensor(_TURNS[up], dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
