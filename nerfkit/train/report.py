"""``report.html``: how a run went, in one file that needs no network."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.files import write_text
from nerfkit.train.run import Run

_MOST_PIXELS = 640  # longer side of a picture in the report
_ERROR_FULL = 64  # difference (of 255) that the error map shows as its hottest colour
_MOST_VIEWS = 24
_PLOT = (560, 220)
_MARGIN = (52, 12, 12, 34)  # left, top, right, bottom

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2126; --soft: #68707a; --line: #dfe3e8; --card: #fff; --page: #f5f6f8;
  --accent: #2463eb; --mark: #d9480f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa3ad; --line: #343a42; --card: #1c2026;
  --page: #14171b; --accent: #7aa7ff; --mark: #ff9a5c; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 28px 20px 60px;
  background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1180px; margin: 0 auto; }
h1 { font-size: 26px; margin: 0 0 2px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 34px 0 12px; }
.sub { color: var(--soft); margin: 0 0 22px; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 14px 16px; }
.tile b { display: block; font-size: 24px; line-height: 1.2; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 14px; }
.card h3 { font-size: 14px; margin: 0 0 6px; font-weight: 600; }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 11px; }
.view { margin-bottom: 16px; } .view h3 span { color: var(--soft); font-weight: 400; margin-left: 8px; }
.trio { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8px; }
.trio figure { margin: 0; } .trio img { width: 100%; display: block; border-radius: 6px; }
figcaption { color: var(--soft); font-size: 12px; padding-top: 4px; }
.legend { display: inline-block; width: 120px; height: 10px; border-radius: 3px; margin: 0 6px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
td { border-top: 1px solid var(--line); padding: 6px 8px; overflow-wrap: anywhere; }
tr:first-child td { border-top: 0; }
td:first-child { color: var(--soft); width: 40%; }
@media (max-width: 560px) { body { padding: 18px 12px 40px; } .trio { gap: 4px; } .tile b { font-size: 20px; } }
"""


def write(run: Run) -> None:
    """Writes the report from ``log.jsonl``, ``metrics.json`` and ``eval/`` of a run; what is missing is left out."""
    metrics = json.loads(run.metrics.read_text()) if run.metrics.is_file() else {}
    lines = list(run.log_lines())
    title = f"{run.path.resolve().parent.name} / {run.path.resolve().name}"
    body = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="sub">{html.escape(str(run.config.scene))} · model {html.escape(run.config.model)}</p>',
        _tiles(metrics),
        _curves(lines),
        _views(run.eval),
        _tables(run, metrics),
    ]
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)} · nerfkit</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(body)}</main></body></html>\n"
    )
    write_text(run.report, page)


def _tiles(metrics: Mapping[str, Any]) -> str:
    scores = metrics.get("eval") or {}
    facts = [
        ("PSNR, held out", scores.get("psnr"), "{:.2f} dB"),
        ("SSIM, held out", scores.get("ssim"), "{:.3f}"),
        ("LPIPS, held out", scores.get("lpips"), "{:.3f}"),
        ("Gaussians", metrics.get("gaussians"), "{:,.0f}"),
        ("steps", metrics.get("steps"), "{:,.0f}"),
        ("training time", metrics.get("seconds"), "{:,.0f} s"),
        ("most memory", _scaled(metrics.get("peak_memory_bytes"), 2**30), "{:.2f} GiB"),
    ]
    shown = [
        f'<div class="tile"><b>{form.format(value)}</b><span>{name}</span></div>'
        for name, value, form in facts
        if value
    ]
    return f'<div class="tiles">{"".join(shown)}</div>' if shown else ""


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def _curves(lines: Sequence[Mapping[str, Any]]) -> str:
    evaluated = [(line["seconds"], line["eval"]["psnr"]) for line in lines if line.get("eval", {}).get("psnr")]
    steps = [line for line in lines if "eval" not in line]
    plots = [
        _plot("PSNR on held-out photos, dB, over training seconds", evaluated, dots=True),
        _plot("Loss over training seconds", [(x["seconds"], x["loss"]) for x in steps if x.get("loss")], smooth=True),
    ]
    names = {name for line in steps for name in line} & {"gaussians"}
    for name in sorted(names):
        plots.append(
            _plot(f"{name.capitalize()} over training seconds", [(x["seconds"], x[name]) for x in steps if name in x])
        )
    plots.append(_plot("Steps over training seconds", [(line["seconds"], line["step"]) for line in steps]))
    shown = "".join(plot for plot in plots if plot)
    return f'<h2>Training</h2><div class="plots">{shown}</div>' if shown else ""


def _plot(title: str, points: Sequence[tuple[float, float]], *, dots: bool = False, smooth: bool = False) -> str:
    """A line chart as inline SVG; nothing for fewer than two points."""
    points = [(float(x), float(y)) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    if len(points) < 2:
        return ""
    width, height = _PLOT
    left, top, right, bottom = _MARGIN
    xs, ys = _ticks(0, max(x for x, _ in points)), _ticks(min(y for _, y in points), max(y for _, y in points))
    x0, x1, y0, y1 = xs[0], max(xs[-1], points[-1][0]), min(ys[0], min(y for _, y in points)), ys[-1]

    def at(x: float, y: float) -> tuple[float, float]:
        return (left + (x - x0) / (x1 - x0) * (width - left - right),
                height - bottom - (y - y0) / (y1 - y0) * (height - top - bottom))  # fmt: skip

    parts = []
    for y in ys:
        _, py = at(x0, y)
        parts.append(f'<line x1="{left}" x2="{width - right}" y1="{py:.1f}" y2="{py:.1f}" stroke="var(--line)"/>')
        parts.append(f'<text x="{left - 6}" y="{py + 4:.1f}" text-anchor="end">{_number(y)}</text>')
    for x in xs:
        px, _ = at(x, y0)
        parts.append(f'<text x="{px:.1f}" y="{height - bottom + 16}" text-anchor="middle">{_number(x)}</text>')
    if smooth:
        parts.append(_line([at(*p) for p in points], "var(--line)"))
        points = _smoothed(points)
    parts.append(_line([at(*p) for p in points], "var(--accent)"))
    if dots:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="var(--mark)"/>' for x, y in (at(*p) for p in points)]
        x, y = at(*points[-1])
        parts.append(f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="end">{points[-1][1]:.2f}</text>')
    return (
        f'<div class="card"><h3>{html.escape(title)}</h3><svg viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{html.escape(title)}">{"".join(parts)}</svg></div>'
    )


def _line(points: Sequence[tuple[float, float]], color: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2" stroke-linejoin="round"/>'


def _smoothed(points: Sequence[tuple[float, float]], keep: float = 0.85) -> list[tuple[float, float]]:
    """Running mean with weights that fall off exponentially; the first points weigh what they are."""
    out, total, weight = [], 0.0, 0.0
    for x, y in points:
        total, weight = keep * total + y, keep * weight + 1
        out.append((x, total / weight))
    return out


def _ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers from at most ``low`` to at least ``high``."""
    span = max(high - low, abs(high) * 1e-3, 1e-9)
    step = 10 ** math.floor(math.log10(span / count))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= count)
    first = math.floor(low / step)
    last = max(math.ceil(high / step), first + 1)
    return [round(step * k, 12) for k in range(first, last + 1)]


def _number(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def _views(folder: Path) -> str:
    """Truth, render and error of each held-out view."""
    import imageio.v3 as iio

    names = sorted(path.name.removesuffix(".truth.png") for path in folder.glob("*.truth.png"))
    cards = []
    for name in names[:_MOST_VIEWS]:
        drawn = folder / f"{name}.png"
        if not drawn.is_file():
            continue
        truth, render = np.asarray(iio.imread(folder / f"{name}.truth.png")), np.asarray(iio.imread(drawn))
        difference = np.abs(truth.astype(np.float32) - render.astype(np.float32))
        psnr = 10 * math.log10(255**2 / max(float((difference**2).mean()), 1e-3))
        pictures = (("photo", truth), ("render", render), ("error", _error_map(difference.mean(-1))))
        figures = "".join(
            f'<figure><img alt="{label} of {html.escape(name)}" src="{_data_uri(picture)}">'
            f"<figcaption>{label}</figcaption></figure>"
            for label, picture in pictures
        )
        cards.append(
            f'<div class="card view"><h3>{html.escape(name)}<span>{psnr:.2f} dB</span></h3>'
            f'<div class="trio">{figures}</div></div>'
        )
    if not cards:
        return ""
    scale = ", ".join(
        f"rgb({','.join(str(int(c)) for c in color)})" for color in _error_map(np.linspace(0, _ERROR_FULL, 12)[None])[0]
    )
    legend = (
        f'<p class="sub">Error: mean difference of the colours, 0<span class="legend" '
        f'style="background: linear-gradient(90deg, {scale})"></span>{_ERROR_FULL} of 255 or more</p>'
    )
    left_out = f"<p>{len(names) - _MOST_VIEWS} more in eval/</p>" if len(names) > _MOST_VIEWS else ""
    return f"<h2>Held-out photos</h2>{legend}{''.join(cards)}{left_out}"


def _error_map(difference: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Mean absolute differences [H, W] of 255 as colours, dark to bright (inferno)."""
    import cv2

    level = np.clip(difference / _ERROR_FULL * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB), np.uint8)


def _data_uri(picture: NDArray[np.uint8]) -> str:
    import cv2

    longest = max(picture.shape[:2])
    if longest > _MOST_PIXELS:
        size = (max(1, picture.shape[1] * _MOST_PIXELS // longest), max(1, picture.shape[0] * _MOST_PIXELS // longest))
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


def _tables(run: Run, metrics: Mapping[str, Any]) -> str:
    settings = run.path / "config.toml"
    rows = [(name, value) for name, value in metrics.items() if not isinstance(value, Mapping)]
    measured = "".join(f"<tr><td>{html.escape(str(k))}</td><td>{html.escape(_plain(v))}</td></tr>" for k, v in rows)
    config = html.escape(settings.read_text()) if settings.is_file() else ""
    return (
        f'<h2>Figures</h2><div class="card"><table>{measured}</table></div>'
        f'<h2>Settings</h2><div class="card"><pre style="margin:0;white-space:pre-wrap">{config}</pre></div>'
    )


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
