"""The live line of a training run: ``training ━━━━ 42%  loss 0.031  61.3 it/s  41,022 gaussians  0:35 left``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.console import Console as RichConsole
from rich.progress import BarColumn, Progress, TaskID, TextColumn

if TYPE_CHECKING:
    from nerfkit.cli.console import Console

    from nerfkit.train.monitor import Status


class TrainBar:
    """A :class:`nerfkit.train.monitor.TrainMonitor` on stderr; shows nothing where nobody looks."""

    def __init__(self, console: Console) -> None:
        screen: RichConsole = getattr(console, "rich", None) or RichConsole(stderr=True)
        shown = screen.is_terminal and not screen.quiet and not getattr(console, "quiet", False)
        columns = (TextColumn("training"), BarColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=screen, disable=not shown)
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._task is not None:
            self._progress.stop()

    def __call__(self, status: Status) -> None:
        if self._task is None:  # photos have been decoded by now, and their bar is gone
            self._task = self._progress.add_task("", total=1.0)
            self._progress.start()
        self._progress.update(self._task, completed=status.progress, description=describe(status))


def describe(status: Status) -> str:
    """The numbers beside the bar."""
    own = dict(status.statistics)
    psnr = own.pop("psnr", None)
    parts = [f"{status.progress:.0%}", f"loss {status.loss:.4f}"]
    parts += [] if psnr is None else [f"PSNR {psnr:.1f}"]
    parts += [f"{status.it_per_s:.1f} it/s", *(f"{value:,.6g} {name}" for name, value in own.items())]
    parts += [f"{duration(status.seconds_left)} left"]
    return "  ".join(parts)


def duration(seconds: float) -> str:
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
