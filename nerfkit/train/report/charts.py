"""Line charts as inline SVG; their colors and fonts come from the page's style sheet."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 420, 230
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 12, 38  # margins around the plot
MOST_POINTS = 400  # a line's; more can't be told apart at this size


@dataclass(frozen=True)
class Series:
    """A line. ``style`` is a class of the style sheet: ``main``, ``faint``, ``second``…; ``dots`` marks its points."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str = "main"
    dots: bool = False


def line_chart(
    series: Sequence[Series], x_label: str, *, log: bool = False, zero: bool = False, title: str = ""
) -> str:
    """An ``<svg>`` of the series, empty where none has a point.

    Args:
        log: a logarithmic scale; points that are not positive are left out, as always those that are not finite.
        zero: the scale holds zero.
    """
    drawn = [Series(s.name, *_finite(s, log), s.style, s.dots) for s in series]
    drawn = [s for s in drawn if s.x]
    if not drawn:
        return ""
    scale_y: Callable[[float], float] = math.log10 if log else float
    low, high = min(min(s.y) for s in drawn), max(max(s.y) for s in drawn)
    y_ticks = log_ticks(low, high) if log else ticks(min(low, 0) if zero else low, high)
    x_ticks = ticks(min(0.0, *(min(s.x) for s in drawn)), max(max(s.x) for s in drawn), 5)
    x_low, x_high = x_ticks[0], max(max(max(s.x) for s in drawn), x_ticks[0] + 1e-9)
    y_low, y_high = scale_y(y_ticks[0]), scale_y(y_ticks[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        right = LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - LEFT - RIGHT)
        return right, HEIGHT - BOTTOM - (scale_y(y) - y_low) / (y_high - y_low) * (HEIGHT - TOP - BOTTOM)

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title or x_label)}">']
    for tick in y_ticks:
        y = place(x_low, tick)[1]
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>')
    for tick in (tick for tick in x_ticks if tick <= x_high):
        x = place(tick, y_ticks[0])[0]
        parts.append(f'<path class="grid" d="M{x:.1f} {HEIGHT - BOTTOM}v4"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{number(tick)}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 4}" text-anchor="middle">{html.escape(x_label)}</text>')
    parts += [_line(one, [place(x, y) for x, y in zip(one.x, one.y)]) for one in drawn]
    return "".join(parts) + "</svg>"


def smooth(values: Sequence[float], weight: float = 0.7) -> list[float]:
    """An exponential moving average, unbiased at its start; what is not finite passes it by."""
    out, mean, total = [], 0.0, 0.0
    for value in values:
        if math.isfinite(value):
            mean, total = weight * mean + (1 - weight) * value, weight * total + (1 - weight)
        out.append(mean / total if total else math.nan)
    return out


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers whose span holds [low, high]."""
    if not high > low:
        low, high = low - (abs(low) or 1) * 0.05, high + (abs(high) or 1) * 0.05
    raw = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * next(m for m in (1, 2, 2.5, 5, 10) if m * power >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Numbers 1, 2, 5 times a power of ten whose span holds [low, high], thinned to a handful."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [m * 10.0**power for power in powers for m in (1, 2, 5)]
    first = max(i for i, tick in enumerate(every) if tick <= low * (1 + 1e-9))
    last = min((i for i, tick in enumerate(every) if tick >= high * (1 - 1e-9)), default=len(every) - 1)
    inside = every[first : max(last, first + 1) + 1]
    if len(inside) <= 7:
        return inside
    step = 3 * math.ceil(len(inside) / 3 / 6)  # whole powers of ten apart
    return sorted({*inside[::step], inside[-1]})


def number(value: float) -> str:
    """A short number for people: 1.2k, 50k, 3.5M, 0.02."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.4g}" if abs(value) >= 1e-3 or value == 0 else f"{value:.0e}".replace("e-0", "e-")


def _line(series: Series, points: Sequence[tuple[float, float]]) -> str:
    kept = points[:: math.ceil(len(points) / MOST_POINTS)]
    if kept[-1] != points[-1]:
        kept = [*kept, points[-1]]
    name = html.escape(series.name)
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in kept)
    marks = [f'<path class="line {series.style}" d="{path}"><title>{name}</title></path>']
    if series.dots or len(points) == 1:
        marks += [
            f'<circle class="{series.style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">'
            f"<title>{name}: {value:.4g}</title></circle>"
            for (x, y), value in zip(points, series.y)
        ]
    return "".join(marks)


def _finite(series: Series, log: bool) -> tuple[list[float], list[float]]:
    pairs = [(x, y) for x, y in zip(series.x, series.y) if math.isfinite(x) and math.isfinite(y) and (y > 0 or not log)]
    return [x for x, _ in pairs], [y for _, y in pairs]
