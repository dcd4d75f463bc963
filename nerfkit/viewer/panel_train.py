"""The panel of a run that trains: pause, stop, its numbers, and the curve of its PSNR."""

from __future__ import annotations

from typing import Any

import numpy as np

from nerfkit.train.monitor import Status
from nerfkit.train.observer import Wish

MOST_POINTS = 2000  # of the curve; then every second one is left out
ENDING = "**Ending: it is saved and measured now.**"


class TrainPanel:
    def __init__(self, gui: Any) -> None:
        self.wish: Wish = "go"
        self._status: Status | None = None
        self._curve: list[tuple[int, float]] = []
        self.progress = gui.add_progress_bar(0.0)
        self.words = gui.add_markdown("The first step is still to come.")
        self.pause = gui.add_button("Pause")
        self.pause.on_click(lambda _: self._turn())
        self.stop = gui.add_button("Stop", hint="End the training here: it is saved, measured, and can be resumed")
        self.stop.on_click(lambda _: self._stop())
        self.chart = gui.add_uplot(
            (np.array([0.0]), np.array([np.nan])),
            ({"label": "step"}, {"label": "PSNR, dB", "stroke": "#e48614", "width": 2}),
            title="PSNR in the middle of held-out photos",
            scales={"x": {"time": False, "auto": True}, "y": {"auto": True}},
            aspect=1.4,
        )

    def tell(self, status: Status) -> None:
        self._status = status
        self.progress.value = 100 * status.progress
        if status.progress >= 1:  # by its steps or its time: nothing is left to hold
            self.pause.disabled = self.stop.disabled = True
        self.words.content = describe(status, self.wish)

    def add_psnr(self, psnr: float) -> None:
        self._curve.append((self._status.step if self._status else 0, psnr))
        if len(self._curve) > MOST_POINTS:
            self._curve = self._curve[::2]
        steps, values = np.array(self._curve, np.float64).T
        self.chart.data = (np.ascontiguousarray(steps), np.ascontiguousarray(values))

    def end(self, words: str) -> None:
        self.pause.disabled = self.stop.disabled = True
        self.words.content = words

    def _turn(self) -> None:
        if self.wish != "stop":
            self.wish = "go" if self.wish == "pause" else "pause"
            self.pause.label = "Resume" if self.wish == "pause" else "Pause"
            if self._status is not None:
                self.tell(self._status)

    def _stop(self) -> None:
        self.wish = "stop"
        self.pause.disabled = self.stop.disabled = True
        self.words.content = ENDING if self._status is None else describe(self._status, self.wish)


def describe(status: Status, wish: Wish) -> str:
    """The numbers of a run, as Markdown."""
    own = ", ".join(f"{_number(value)} {name}" for name, value in status.statistics.items() if name != "psnr")
    held = " · **paused**" if wish == "pause" else ""
    left = "?" if status.seconds_left == float("inf") else f"{status.seconds_left:.0f} s"
    lines = [
        f"**step {status.step:,}** · {status.progress:.0%}{held}",
        f"{status.it_per_s:.1f} steps/s · {left} left",
        f"loss {status.loss:.4f}",
        own,
        ENDING if wish == "stop" or status.progress >= 1 else "",
    ]
    return "  \n".join(line for line in lines if line)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
