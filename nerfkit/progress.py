"""How long-running functions tell how far they are, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class ProgressSink(Protocol):
    def __call__(self, stage: str, done: int, total: int) -> None: ...


def quiet(stage: str, done: int, total: int) -> None:
    """The sink that drops everything: the default of every function that reports progress."""
