"""The live line of a training run: ``training ━━━━ 42%  loss 0.031  61.3 it/s  41,022 gaussians  0:35 left``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TextColumn

from nerfkit.progress import duration

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.train.monitor import Status

PLAIN_EVERY = 10.0  # seconds of training between lines where there is no terminal


class TrainBar:
    """A :class:`nerfkit.train.monitor.TrainMonitor` on stderr: a live bar, or a few lines without a terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._next_line = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()

    def __call__(self, status: Status) -> None:
        if self._console.quiet:
            return
        if not self._console.rich.is_terminal:
            self._plain(status)
            return
        if self._bar is None:
            self._console.close_bars()  # two live displays would overwrite each other
            columns = (TextColumn("training"), BarColumn(), TextColumn("{task.description}"))
            self._bar = Progress(*columns, console=self._console.rich)
            self._bar.add_task("", total=1.0)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=status.progress, description=describe(status))
        if status.progress >= 1:
            self._close()

    def progress(self, stage: str, done: int, total: int) -> None:
        """Progress of what comes before and after training: two live displays would overwrite each other."""
        self._close()
        self._console.progress(stage, done, total)

    def _plain(self, status: Status) -> None:
        if status.seconds >= self._next_line or status.progress >= 1:
            self._next_line = status.seconds + PLAIN_EVERY
            print(f"training: {describe(status)}", file=sys.stderr)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def describe(status: Status) -> str:
    """The numbers beside the bar."""
    own = dict(status.statistics)
    psnr = own.pop("psnr", None)
    parts = [f"{status.progress:.0%}", f"loss {status.loss:.4f}"]
    parts += [] if psnr is None else [f"PSNR {psnr:.1f}"]
    parts += [f"{status.it_per_s:.1f} it/s", *(f"{value:,.6g} {name}" for name, value in own.items())]
    parts += [f"{duration(status.seconds_left)} left"]
    return "  ".join(parts)
