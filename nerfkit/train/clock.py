"""How far a run is: from 0 to 1 by its steps or by its time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Counts steps and the seconds spent in the optimisation loop; set-up, evaluation and saving are not counted.

    Exactly one of ``total_steps`` and ``total_seconds`` is set. ``step`` and ``seconds`` start above zero in a
    resumed run.
    """

    total_steps: int | None
    total_seconds: float | None
    step: int = 0
    earlier: float = 0.0  # seconds counted before the clock was last started
    now: Callable[[], float] = time.monotonic
    _started: float | None = field(default=None, init=False)

    @property
    def seconds(self) -> float:
        return self.earlier if self._started is None else self.earlier + self.now() - self._started

    @property
    def progress(self) -> float:
        """From 0 at the start to 1 at the end."""
        done = self.step / self.total_steps if self.total_steps else self.seconds / (self.total_seconds or math.inf)
        return min(done, 1.0)

    @property
    def done(self) -> bool:
        return self.progress >= 1

    def seconds_left(self, steps_per_second: float) -> float:
        if self.total_steps is None:
            return max(0.0, (self.total_seconds or 0.0) - self.seconds)
        return (self.total_steps - self.step) / steps_per_second if steps_per_second > 0 else math.inf

    @contextmanager
    def running(self) -> Iterator[None]:
        self._started = self.now()
        try:
            yield
        finally:
            self.earlier, self._started = self.seconds, None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stops a running clock for a while."""
        self.earlier, self._started = self.seconds, None
        try:
            yield
        finally:
            self._started = self.now()


@dataclass
class Every:
    """Tells when something is due again: at each multiple of ``fraction`` of the run, or after ``seconds``."""

    fraction: float
    seconds: float = math.inf
    _count: int = 0
    _last: float = 0.0

    def start(self, clock: Clock) -> Every:
        self._count, self._last = self._multiples(clock), clock.seconds
        return self

    def due(self, clock: Clock) -> bool:
        if self._multiples(clock) <= self._count and clock.seconds - self._last < self.seconds:
            return False
        self.start(clock)
        return True

    def _multiples(self, clock: Clock) -> int:
        return int(clock.progress / self.fraction + 1e-9) if self.fraction > 0 else 0
