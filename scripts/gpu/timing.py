"""Medians of work whose sides take turns, timed by CUDA's events."""

from __future__ import annotations

import statistics
import time
import traceback
from collections.abc import Callable
from typing import Any

import torch

from gpu import roofline
from gpu.context import Context, Rows

WARM_UP = 3
OURS = "nerfkit"
Work = Callable[[], Any]
Sides = dict[str, Work]


def milliseconds(work: Work, device: torch.device) -> float:
    if device.type == "cpu":
        start = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - start)
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    work()
    after.record()
    after.synchronize()
    return before.elapsed_time(after)


def in_turns(sides: Sides, rounds: int, device: torch.device) -> tuple[dict[str, float], dict[str, str]]:
    """The median time of each side, and what went wrong with those that failed.

    They take turns, so that what slows the machine down does so for all of them.
    """
    times: dict[str, list[float]] = {name: [] for name in sides}
    faults: dict[str, str] = {}
    for turn in range(WARM_UP + rounds):
        for name, work in sides.items():
            if name in faults:
                continue
            try:
                taken = milliseconds(work, device)
            except Exception as error:
                traceback.print_exc()
                faults[name] = one_line(error)
                raise_if_broken(device)
                continue
            if turn >= WARM_UP:
                times[name].append(taken)
    return {name: statistics.median(own) for name, own in times.items() if name not in faults}, faults


class BrokenDevice(Exception):
    """A fault after which CUDA does nothing more in this process."""


def raise_if_broken(device: torch.device) -> None:
    if device.type == "cuda":
        try:
            torch.cuda.synchronize(device)
        except Exception as error:
            raise BrokenDevice(one_line(error)) from error


def is_broken(device: torch.device) -> bool:
    try:
        raise_if_broken(device)
    except BrokenDevice:
        return True
    return False


def one_line(error: BaseException) -> str:
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"[:300]


def compared(context: Context, title: str, sides: Sides) -> Rows:
    """A case's rows: the time of each side, and of ours the floors, as a whole and operator by operator."""
    times, faults = in_turns(sides, context.rounds, context.device)
    floor, parts = None, []
    if OURS in times:
        parts = roofline.operators(context, sides[OURS])
        floor = sum(part.floor_ms for part in parts)
    for name in sides:
        row: dict[str, Any] = {"case": title, "side": name, "ms": times.get(name)}
        row["nerfkit is faster by"] = times[name] / times[OURS] if name in times and OURS in times else None
        row["floor ms"] = floor if name == OURS else None
        row["of the floor's speed"] = floor / times[OURS] if name == OURS and floor is not None else None
        row["fault"] = faults.get(name, "")
        yield "Cases", row
    for part in parts:
        yield "Operators", {"case": title, **part.row()}
