"""Words, warnings and progress of a command, all on stderr: stdout is for results."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import Self

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from nerfkit.progress import Pace, duration

_WIDEST = 1000  # characters of a table's line
_PLAIN_EVERY = 10.0  # seconds between lines about one stage where there is no terminal…
_PLAIN_SHARE = 0.05  # …or this share of the time it has taken, if that is more…
_PLAIN_SELDOM = 60.0  # …but no more seconds than these
_PLAIN_SURE = 0.5  # seconds that tell a speed


class Console:
    def __init__(self, quiet: bool = False, json: bool = False):
        self.quiet, self.json = quiet, json
        self.rich = RichConsole(stderr=True, highlight=False, soft_wrap=True, emoji=False)
        self._lock = threading.RLock()  # progress comes from threads that write, warnings from those that draw
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._plain: dict[str, _PlainStage] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_bars()

    def say(self, text: str) -> None:
        """A line for the user; rich markup."""
        self.close_bars()
        if not self.quiet:
            self.rich.print(text)

    def table(self, table: Table) -> None:
        """A table at its full width: a narrow terminal folds its lines, which is better than to lose figures."""
        self.close_bars()
        if not self.quiet:
            wide = RichConsole(stderr=True, highlight=False, soft_wrap=True, emoji=False, width=_WIDEST)
            wide.width = Measurement.get(wide, wide.options, table).maximum
            wide.print(table)

    def answer(self, text: str) -> None:
        """The answer itself, for scripts: on stdout, where with ``--json`` only the JSON object goes."""
        if not self.json:
            print(text)

    def warn(self, text: str) -> None:
        self.close_bars()
        self.rich.print(f"[yellow]warning:[/] {escape(text)}")

    def error(self, text: str) -> None:
        self.close_bars()
        self.rich.print(f"[bold red]error:[/] {escape(text)}")

    def progress(self, stage: str, done: int, total: int) -> None:
        """A :class:`nerfkit.progress.ProgressSink`: a bar per stage, or a few plain lines without a terminal."""
        if self.quiet:
            return
        with self._lock:
            if self.rich.is_terminal:
                self._bar_progress(stage, done, total)
            else:
                self._plain_progress(stage, done, total)

    def _bar_progress(self, stage: str, done: int, total: int) -> None:
        if self._bars is None:
            self._bars = Progress(
                TextColumn("{task.description:24s}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                console=self.rich,
            )  # fmt: skip
            self._bars.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(stage, total=total)
        self._bars.update(self._tasks[stage], completed=done, total=total)

    def _plain_progress(self, stage: str, done: int, total: int) -> None:
        known = self._plain.get(stage)
        if known is None or known.done > done:  # a stage of this name begins anew
            again = known is not None and known.took < _PLAIN_EVERY  # of many short ones the first is enough
            known = self._plain[stage] = _PlainStage(_PLAIN_EVERY if again else 0.0)
        line = known.line(done, total)
        if line:
            print(f"{stage}: {line}", file=sys.stderr, flush=True)

    def close_bars(self) -> None:
        with self._lock:
            if self._bars is not None:
                self._bars.stop()
                self._bars, self._tasks = None, {}

    def log_handler(self) -> logging.Handler:
        """Shows the library's words and warnings the way the command's own are shown."""
        return _LogHandler(self)


class _PlainStage:
    """The lines about one stage where there is no terminal: few, and each says how fast it goes and what is left."""

    def __init__(self, silent: float) -> None:
        """Args: silent: seconds before the first of them; what has ended by then has none."""
        self.done, self.took = 0, 0.0
        self._pace, self._next, self._begun, self._ended = Pace(), silent, False, False

    def line(self, done: int, total: int) -> str | None:
        """What is to be said now, if anything."""
        self._pace.report(done)
        self.done, self.took = done, self._pace.seconds
        gone, last, ended = self.took, done >= total, self._ended
        self._ended = last
        if ended or not ((last and self._begun) or gone >= self._next):
            return None
        self._begun = True
        self._next = gone + min(max(_PLAIN_EVERY, _PLAIN_SHARE * gone), _PLAIN_SELDOM)
        rate, left = self._pace.rate, self._pace.left(total)
        words = f"{done}/{total}"
        if rate is None or left is None or gone < _PLAIN_SURE:
            return words
        speed = f"{1 / rate:.1f} s each" if rate < 1 else f"{rate:.1f}/s" if rate < 100 else f"{rate:.0f}/s"
        return f"{words}, {speed}" + ("" if last else f", {duration(left)} left")


class _LogHandler(logging.Handler):
    def __init__(self, console: Console):
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._console.warn(record.getMessage())
        else:
            self._console.say(escape(record.getMessage()))
