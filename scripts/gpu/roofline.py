"""How fast the hardware lets our operators be: the ceilings, measured, and the floor of each call below them.

A call's floor is the longer of two times. Memory: every array that the operator reads is read once, and every one that
it writes is written once, at the speed of a large copy; which arrays those are is told by `nerfkit.h`. Arithmetic:
OPERATIONS counts what cannot be left out, at the speed of a matrix product of the same precision. What lies between a
call and its floor is then gathers and scattered sums (hash grids), sorting, what a cache lost, or our own doing.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from one_by_one import operators_one_by_one
from torch import Tensor

from gpu import timing
from gpu.context import Context, Rows
from nerfkit.core import _library

Arguments = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Ceilings:
    """Bytes read or written in a second, and operations (a multiplication with its addition is two)."""

    memory: float
    single: float
    half: float


@dataclasses.dataclass(frozen=True)
class Operations:
    single: float = 0.0
    half: float = 0.0  # on tensor cores


# --- what has to be done ------------------------------------------------------------------------------------

# Operations, counted in cuda_ext/math: of a splat at a pixel, of a Gaussian with SH of degree 3, of a pixel's three
# channels in the loss, of a number that Adam changes, of a channel of a sample in compositing.
SPLAT_AT_PIXEL, SPLAT_AT_PIXEL_BACK = 30, 60
GAUSSIAN, GAUSSIAN_BACK = 600, 1200
LOSS_PIXEL = 1200
ADAM_NUMBER = 12
COMPOSITED, COMPOSITED_BACK = 2, 6


def _splats_at_pixels(a: Arguments) -> float:
    """Of the splats that each tile walked, the pixels of those eighths of the tile that they reach."""
    offsets, reach = a["tile_offsets"].long(), a["reach"]
    counts = offsets.diff()
    tile = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    place = torch.arange(len(tile), device=counts.device) - offsets[:-1][tile]
    walked = reach[: len(tile)][place < a["walked"].long()[tile]]
    bits = torch.tensor([number.bit_count() for number in range(256)], device=counts.device)
    side = _library.library_of(reach).tile
    return float(bits[walked.long()].sum()) * side * side / 8


def _multiplied(a: Arguments) -> float:
    return 2.0 * len(a["input"]) * sum(wide * next_ for wide, next_ in pairwise(a["widths"].tolist()))


def _corners(a: Arguments) -> float:
    """Eight corners of a cell in each level, a product and a sum for each feature."""
    features = a.get("features", a.get("grad_features"))
    return 16.0 * features.numel()


OPERATIONS: dict[str, Callable[[Arguments], Operations]] = {
    "nk_project_fwd": lambda a: Operations(GAUSSIAN * len(a["means"])),
    "nk_project_bwd": lambda a: Operations(GAUSSIAN_BACK * len(a["means"])),
    "nk_rasterize_fwd": lambda a: Operations(SPLAT_AT_PIXEL * _splats_at_pixels(a)),
    "nk_rasterize_bwd": lambda a: Operations(SPLAT_AT_PIXEL_BACK * _splats_at_pixels(a)),
    "nk_photometric": lambda a: Operations(LOSS_PIXEL * a["image"][0].numel()),
    "nk_adam": lambda a: Operations(ADAM_NUMBER * a["param"].numel()),
    "nk_composite_fwd": lambda a: Operations(COMPOSITED * a["values"].numel()),
    "nk_composite_bwd": lambda a: Operations(COMPOSITED_BACK * a["values"].numel()),
    "nk_hash_encode_fwd": lambda a: Operations(_corners(a)),
    "nk_hash_encode_bwd": lambda a: Operations(_corners(a)),
    "nk_mlp_fwd": lambda a: Operations(half=_multiplied(a)),
    "nk_mlp_bwd": lambda a: Operations(half=2 * _multiplied(a)),  # by the weights and by the inputs
}
READ_TOO = {  # arrays that are written where what they held counts
    "nk_adam": ("param", "m", "v"), "nk_splat_stats": ("grad_sum", "count"), "nk_tsdf_mark": ("marks",),
    "nk_tsdf_integrate": ("tsdf", "weight", "color"),
}  # fmt: skip


def fewest_bytes(operator: str, arguments: Arguments) -> float:
    """What an operator's call has to read and write; a hash table no more often than it is looked into."""
    fields = _library.library().fields(operator)
    total = 0.0
    for name, value in arguments.items():
        if not isinstance(value, Tensor) or fields[name].on_host:
            continue
        size = float(value.nbytes)
        if name in ("table", "half_table"):
            size = 0.0 if operator.endswith("_bwd") and arguments.get("grad_positions") is None else size
            looked_into = len(arguments["positions"]) * 8.0 * (len(arguments["offsets"]) - 1)
            size = min(size, looked_into * value.shape[1] * value.element_size())
        total += size if fields[name].read_only or name not in READ_TOO.get(operator, ()) else 2 * size
    return total


# --- what is measured ---------------------------------------------------------------------------------------


@functools.cache
def ceilings(device: torch.device, copied: int, matrix: int) -> Ceilings:
    """Measured: a copy of so many bytes, and products of square matrices with so many rows."""
    source = torch.ones(copied // 4, device=device)
    target = torch.empty_like(source)
    memory = 2 * copied / _best_seconds(lambda: target.copy_(source), device)
    flops = 2.0 * matrix**3
    exact = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        single = flops / _best_seconds(_product(matrix, torch.float32, device), device)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = exact
    half = torch.float16 if device.type == "cuda" else torch.bfloat16
    return Ceilings(memory, single, flops / _best_seconds(_product(matrix, half, device), device))


def _product(rows: int, dtype: torch.dtype, device: torch.device) -> timing.Work:
    a, b = (torch.randn(rows, rows, device=device).to(dtype) for _ in range(2))
    return lambda: a @ b


def _best_seconds(work: timing.Work, device: torch.device) -> float:
    return min(timing.milliseconds(work, device) for _ in range(timing.WARM_UP + 7)) / 1e3


def measured(context: Context) -> Ceilings:
    return ceilings(context.device, context.sizes.copied, context.sizes.matrix)


def ceilings_case(context: Context) -> Rows:
    found = measured(context)
    for name, value, unit in (
        ("memory: a large copy, bytes read and written", found.memory / 1e12, "TB/s"),
        ("float32: a large matrix product without TF32", found.single / 1e12, "TFLOP/s"),
        ("half precision: a large matrix product", found.half / 1e12, "TFLOP/s"),
    ):
        yield "Ceilings", {"ceiling": name, "measured": value, "unit": unit}


@dataclasses.dataclass(frozen=True)
class Part:
    """An operator's calls within a piece of work."""

    operator: str
    calls: int
    ms: float
    floor_ms: float
    bound_by: str

    def row(self) -> dict[str, Any]:
        share = self.floor_ms / self.ms if self.ms > 0 else None
        return {"operator": self.operator, "calls": self.calls, "ms": self.ms, "floor ms": self.floor_ms,
                "bound by": self.bound_by, "of the floor's speed": share}  # fmt: skip


def operators(context: Context, work: timing.Work) -> list[Part]:
    """The operators that a piece of work calls, in the order of their first calls, with times and floors.

    Those of steps that call several at once are called one by one.
    """
    with operators_one_by_one(context.device.type):
        return _operators(context, work)


def _operators(context: Context, work: timing.Work) -> list[Part]:
    limits, floors = measured(context), {}
    with _watched(context.device) as calls:
        work()
    for name, arguments, _ in calls:
        memory, arithmetic = floor(limits, name, arguments)
        floors.setdefault(name, []).append((memory, arithmetic))
    rounds: list[dict[str, float]] = []
    for _ in range(max(1, context.rounds // 2)):
        with _watched(context.device) as calls:
            work()
        taken = dict.fromkeys(floors, 0.0)
        for name, _, ms in calls:
            taken[name] += ms()
        rounds.append(taken)
    found = []
    for name, own in floors.items():
        memory, arithmetic = (sum(column) for column in zip(*own, strict=True))
        ms = statistics.median(taken[name] for taken in rounds)
        bound_by = "memory" if memory >= arithmetic else "arithmetic"
        found.append(Part(name, len(own), ms, sum(max(pair) for pair in own), bound_by))
    return found


def floor(limits: Ceilings, operator: str, arguments: Arguments) -> tuple[float, float]:
    """Milliseconds that memory and arithmetic ask for."""
    asked = OPERATIONS.get(operator, lambda a: Operations())(arguments)
    arithmetic = asked.single / limits.single + asked.half / limits.half
    return 1e3 * fewest_bytes(operator, arguments) / limits.memory, 1e3 * arithmetic


@contextmanager
def _watched(device: torch.device) -> Iterator[list[tuple[str, Arguments, Callable[[], float]]]]:
    """Every call of the library: the operator, its arguments, and milliseconds that can be asked for afterwards."""
    calls: list[tuple[str, Arguments, Callable[[], float]]] = []
    call = _library.Library.call

    def watched(own: Any, function: str, /, **arguments: Any) -> Any:
        if device.type == "cpu":
            results: list[Any] = []
            taken = timing.milliseconds(lambda: results.append(call(own, function, **arguments)), device)
            calls.append((function, arguments, lambda: taken))
            return results[0]
        before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        result = call(own, function, **arguments)
        after.record()
        calls.append((function, arguments, functools.partial(_between, before, after)))
        return result

    _library.Library.call = watched  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        _library.Library.call = call  # type: ignore[method-assign]


def _between(before: Any, after: Any) -> float:
    after.synchronize()
    return float(before.elapsed_time(after))
