"""What every case is told: where to work, and how large."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
Row = dict[str, Any]  # of a table: column -> text or number
Rows = Iterator[tuple[str, Row]]  # the table's name, and a row of it


@dataclasses.dataclass(frozen=True)
class Sizes:
    gaussians: int
    width: int
    height: int
    samples: int
    rays: int
    log2_size: int  # of the hash grid's levels
    copied: int  # bytes, to measure the memory with
    matrix: int  # rows, to measure the arithmetic with
    downscale: int | None  # of the photos that are trained on


LARGE = Sizes(1_000_000, 1920, 1080, 1 << 20, 1 << 16, 19, 2 << 30, 8192, None)
SMALL = Sizes(2_000, 96, 64, 1 << 10, 1 << 6, 10, 1 << 22, 128, 20)


@dataclasses.dataclass(frozen=True)
class Context:
    device_name: str
    small: bool
    rounds: int
    work: Path  # folder of the runs that are trained on the way
    scene: Path | None  # a scene of the user's own, beside the bundled one
    seconds: float  # of a training of the bundled scene
    own_seconds: dict[str, float]  # of those of the user's own scene, by model

    @property
    def device(self) -> torch.device:
        return torch.device(self.device_name)

    @property
    def sizes(self) -> Sizes:
        return SMALL if self.small else LARGE


def module(name: str) -> Any:
    """A peer, or None where it can't be imported."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # peers that are half installed fail in ways of their own
        print(f"without {name}: {type(error).__name__}: {error}", file=sys.stderr)
        return None
