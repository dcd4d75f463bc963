"""What a GPU does in a step, kernel by kernel, and how long it waits for the next one."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from gpu import operators
from gpu.context import Context, Rows
from gpu.timing import Work
from nerfkit.core import choose_core

STEPS = 10
LONGEST_NAME = 80
WORK = {"cuda": ("kernel", "gpu_memcpy", "gpu_memset"), "cpu": ("cpu_op",)}  # categories in a trace


def million(context: Context) -> Rows:
    """A training step of random Gaussians."""
    gaussians, camera = operators.scene(context.sizes, context.device)
    target = torch.rand(3, camera.height, camera.width, device=context.device)
    work = operators.step(choose_core("nerfkit", context.device), gaussians, camera, target)
    what = f"a step of {len(gaussians):,} random Gaussians, {camera.width}x{camera.height}"
    yield from profiled(context, what, work)


def profiled(context: Context, what: str, work: Work) -> Rows:
    """Tables of a step's kernels (longest first), and of the step as a whole.

    The step's time is that without a profiler; what the GPU was busy with is told by the profiler.
    """
    device, rounds = context.device, STEPS if not context.small else 2
    for _ in range(rounds):
        work()
    _wait(device)
    start = time.perf_counter()
    for _ in range(5 * rounds):
        work()
    _wait(device)
    step = 1e3 * (time.perf_counter() - start) / (5 * rounds)
    events = traced(work, rounds, device)
    busy = busy_ms(events) / rounds
    yield "Steps", {"step": what, "ms": step, "GPU busy ms": busy, "GPU idle": max(0.0, 1 - busy / step),
                    "launches": len(events) / rounds}  # fmt: skip
    for name, (count, ms) in sorted(by_name(events).items(), key=lambda item: -item[1][1]):
        yield "Kernels", {"step": what, "kernel": name, "launches": count / rounds, "ms": ms / rounds,
                          "of the busy time": ms / rounds / busy if busy else None}  # fmt: skip


def traced(work: Work, rounds: int, device: torch.device) -> list[dict[str, Any]]:
    """The device's events of some rounds of work, from PyTorch's profiler: it sees the kernels of any library."""
    activities = [ProfilerActivity.CUDA if device.type == "cuda" else ProfilerActivity.CPU]
    with profile(activities=activities) as profiler:
        for _ in range(rounds):
            work()
        _wait(device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        return device_events(json.loads(path.read_text()), device.type)


def device_events(trace: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event.get("ph") == "X" and event.get("cat") in WORK[kind]]


def busy_ms(events: Iterable[dict[str, Any]]) -> float:
    """How long at least one event was going on; a trace's times are in microseconds."""
    total, until = 0.0, float("-inf")
    for event in sorted(events, key=lambda event: event["ts"]):
        end = event["ts"] + event["dur"]
        total += max(0.0, end - max(until, event["ts"]))
        until = max(until, end)
    return total / 1e3


def by_name(events: Iterable[dict[str, Any]]) -> dict[str, tuple[int, float]]:
    """Launches and milliseconds of each kernel."""
    found: dict[str, tuple[int, float]] = defaultdict(lambda: (0, 0.0))
    for event in events:
        count, ms = found[short(event["name"])]
        found[short(event["name"])] = count + 1, ms + event["dur"] / 1e3
    return dict(found)


def short(name: str) -> str:
    """A kernel's name without its arguments and namespaces: those of templates are a page long."""
    name = re.sub(r"\(anonymous namespace\)::|^void ", "", name)
    depth, end = 0, len(name)
    for place, letter in enumerate(name):
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "(" and depth == 0 and place:
            end = place
            break
    name = re.sub(r"\b(?:\w+::)+", "", name[:end])
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
