"""Words, warnings and progress of a command, all on stderr: stdout is for results."""

from __future__ import annotations

import logging
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console as RichConsole
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

_WIDEST = 1000  # characters of a table's line
_PLAIN_EVERY = 10.0  # seconds between lines about one stage where there is no terminal


class Console:
    def __init__(self, quiet: bool = False, json: bool = False):
        self.quiet, self.json = quiet, json
        self.rich = RichConsole(stderr=True, highlight=False, soft_wrap=True)
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._spoken: dict[str, float] = {}

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
            wide = RichConsole(stderr=True, highlight=False, soft_wrap=True, width=_WIDEST)
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
        if not self.rich.is_terminal:
            self._plain_progress(stage, done, total)
            return
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
        now = time.monotonic()
        first = stage not in self._spoken
        if first or (done >= total and self._spoken[stage] >= 0) or now - abs(self._spoken[stage]) > _PLAIN_EVERY:
            self._spoken[stage] = -now if done >= total else now
            print(f"{stage}: {done}/{total}", file=sys.stderr)

    def close_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars, self._tasks = None, {}

    def log_handler(self) -> logging.Handler:
        """Shows the library's words and warnings the way the command's own are shown."""
        return _LogHandler(self)


class _LogHandler(logging.Handler):
    def __init__(self, console: Console):
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._console.warn(record.getMessage())
        else:
            self._console.say(escape(record.getMessage()))
