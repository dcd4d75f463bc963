"""What a run tells of itself while it trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Status:
    step: int
    progress: float  # 0..1
    seconds: float  # of training so far
    seconds_left: float
    it_per_s: float
    loss: float
    losses: Mapping[str, float]  # the parts whose sum is the loss
    statistics: Mapping[str, float]  # the model's own: its size, ``psnr`` of the last training view…

    def line(self) -> dict[str, float]:
        """A line of ``log.jsonl``."""
        return {
            "step": self.step,
            "progress": round(self.progress, 6),
            "seconds": round(self.seconds, 4),
            "loss": self.loss,
            **self.losses,
            "it_per_s": round(self.it_per_s, 3),
            **self.statistics,
        }


class TrainMonitor(Protocol):
    """Whoever shows a run's progress; called about four times a second."""

    def __call__(self, status: Status) -> None: ...


def silent(status: Status) -> None:
    """The monitor that shows nothing."""
