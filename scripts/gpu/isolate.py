"""Runs cases in a process of their own, and in a new one after each fault: a kernel that reads where nothing is, or
never ends, takes its process with it."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any

from gpu.context import Context, Rows
from gpu.timing import BrokenDevice, is_broken, one_line

Case = Callable[[Context], Rows]
Told = tuple[str, str, Any]  # what ("row", "fault", "done"), the case, and the table with its row, words, or seconds


def run(cases: dict[str, Case], names: Sequence[str], context: Context, seconds: dict[str, float]) -> Iterator[Told]:
    """What becomes of the cases: rows as they are found, and for each case that it is done, or its fault.

    Args:
        seconds: that each case may take.
    """
    left = list(names)
    while left:
        here, there = multiprocessing.get_context("spawn").Pipe(duplex=False)
        process = multiprocessing.get_context("spawn").Process(
            target=_work, args=(there, {name: cases[name] for name in left}, context), daemon=False
        )
        process.start()
        there.close()
        try:
            yield from _listen(here, left, seconds)
        finally:
            if left or (not process.join(10) and process.is_alive()):
                process.kill()
            process.join()


def _listen(pipe: Connection, left: list[str], seconds: dict[str, float]) -> Iterator[Told]:
    """Until all cases are done, or a fault after which the process is of no use. Done cases leave ``left``."""
    until = time.monotonic() + seconds[left[0]]
    while left:
        told: Told
        try:
            if not pipe.poll(max(0.0, until - time.monotonic())):
                told = "broken", left[0], f"took longer than {seconds[left[0]]:.0f} s"
            else:
                told = pipe.recv()
        except (EOFError, ConnectionError):
            told = "broken", left[0], "the process died"
        kind, name, what = told
        if kind == "row":
            yield told
            continue
        left.pop(0)
        yield ("fault" if kind == "broken" else kind), name, what
        if kind == "broken":
            return
        if left:
            until = time.monotonic() + seconds[left[0]]


def _work(pipe: Connection, cases: dict[str, Case], context: Context) -> None:
    for name, case in cases.items():
        start = time.perf_counter()
        try:
            for table, row in case(context):
                pipe.send(("row", name, (table, row)))
            pipe.send(("done", name, time.perf_counter() - start))
        except Exception as error:
            traceback.print_exc()
            broken = isinstance(error, BrokenDevice) or is_broken(context.device)
            pipe.send(("broken" if broken else "fault", name, one_line(error)))
            if broken:
                return
