"""How long-running functions tell how far they are, without knowing who listens; and how long the rest may take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

WINDOW = 30.0  # seconds: the speed is that of the last ones


class ProgressSink(Protocol):
    def __call__(self, stage: str, done: int, total: int) -> None: ...


def quiet(stage: str, done: int, total: int) -> None:
    """The sink that drops everything: the default of every function that reports progress."""


class Pace:
    """How fast something is done lately, and how long it has taken.

    It begins with the first report: what was done until then took an unknown time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        """Args: clock: seconds."""
        self._clock = clock
        self._begun = clock()
        self._reports: deque[tuple[float, int]] = deque()  # those of the window, and one before it

    def report(self, done: int) -> None:
        now = self._clock()
        if not self._reports:
            self._begun = now
        elif now == self._reports[-1][0]:  # several at once are one
            self._reports.pop()
        self._reports.append((now, done))
        while len(self._reports) > 2 and self._reports[1][0] <= now - WINDOW:
            self._reports.popleft()

    @property
    def seconds(self) -> float:
        """Since the first report."""
        return self._clock() - self._begun

    @property
    def rate(self) -> float | None:
        """In a second; None until two reports show one."""
        if len(self._reports) < 2:
            return None
        (first, before), (last, now) = self._reports[0], self._reports[-1]
        return (now - before) / (last - first) if last > first and now > before else None

    def left(self, total: int) -> float | None:
        """Seconds until ``total``, at this rate; None while none is known."""
        rate = self.rate
        return None if rate is None else max(0.0, (total - self._reports[-1][1]) / rate)


def duration(seconds: float) -> str:
    """``0:35``, ``1:02:03``; ``?`` where it is infinite."""
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
