"""The page itself: figures, curves, held-out views and settings of a run as HTML."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from nerfkit import __version__
from nerfkit.files import write_text
from nerfkit.train.report import images, results, tables
from nerfkit.train.report.charts import Series, line_chart, smooth
from nerfkit.train.report.images import HeldOut
from nerfkit.train.run import Run
from nerfkit.webpage import asset, document, duration, text, tiles

# What metrics.json holds for every model; the rest are the model's own statistics.
NAMES = {"model", "backend", "device", "eval"}
KNOWN_METRICS = NAMES | {"steps", "seconds", "finished", "parameters", "file_bytes", "peak_memory_bytes"}
Line = Mapping[str, Any]


def write(run: Run) -> Path:
    """Writes ``report.html`` from what the run's folder holds, and returns its path.

    All but videos is embedded: the file can be mailed. What the folder lacks (metrics, curves, views) is left out.
    """
    metrics = _json(run.metrics)
    lines = [line for line in run.log_lines() if isinstance(line, dict)]
    views = images.measure(run.eval)
    title = run.scene_name
    body = [
        f"<header><h1>{text(title)}</h1><p>{text(_subtitle(run, metrics))}</p></header>",
        _tiles(metrics),
        results.section(run),
        _curves(lines, metrics),
        _views(views),
        tables.section(run, metrics, views),
        f"<footer>{text(str(run.path))} · made by nerfkit {text(__version__)}</footer>",
    ]
    style = asset(__package__, "style.css")
    write_text(run.report, document(f"{title} · nerfkit report", "\n".join(body), [style]))
    return run.report


def refresh(run: Run, made: Iterable[Path]) -> None:
    """Writes the report again if something was made that it shows: files in the folder of a run that is done."""
    if run.metrics.is_file() and any(path.resolve().is_relative_to(run.path.resolve()) for path in made):
        write(run)


def _subtitle(run: Run, metrics: Line) -> str:
    words = [f"{run.config.model} model", f"run {run.path.resolve().name}"]
    if metrics:
        words.append(f"{metrics.get('backend', '?')} core on {metrics.get('device', '?')}")
    return " · ".join(words)


# --- figures ----------------------------------------------------------------------------------------------------


def _tiles(metrics: Line) -> str:
    scores = metrics.get("eval") or {}
    figures = [
        ("PSNR, held-out photos", scores.get("psnr"), lambda v: (f"{v:.2f}", "dB")),
        ("PSNR in the exposure of each photo", scores.get("color_matched_psnr"), lambda v: (f"{v:.2f}", "dB")),
        ("SSIM, held-out photos", scores.get("ssim"), lambda v: (f"{v:.4f}", "")),
        ("LPIPS, held-out photos", scores.get("lpips"), lambda v: (f"{v:.4f}", "")),
        ("training time", metrics.get("seconds"), duration),
        ("steps", metrics.get("steps"), lambda v: (f"{v:,}", "")),
        *[(tables.words(k), v, lambda v: (tables.shown(v), "")) for k, v in metrics.items() if k not in KNOWN_METRICS],
        ("model file", metrics.get("file_bytes"), tables.data_size),
        ("peak memory", metrics.get("peak_memory_bytes"), tables.data_size),
    ]
    shown = [(name, *form(value)) for name, value, form in figures if isinstance(value, int | float)]
    return tiles(shown)


# --- curves -----------------------------------------------------------------------------------------------------


def _curves(lines: Sequence[Line], metrics: Line) -> str:
    steps = [line for line in lines if "loss" in line]
    scores = [line for line in lines if isinstance(line.get("eval"), dict)]
    if isinstance(metrics.get("eval"), dict) and metrics["eval"].get("views"):
        scores = [*scores, metrics]
    parts, statistics = _keys(steps)
    charts = [
        _chart("PSNR", "dB", _named_scores(steps, scores, "psnr")),
        _chart("SSIM", "", _named_scores([], scores, "ssim")),
        _chart("Loss", "log scale", _loss(steps, parts), log=True),
        *[
            _chart(tables.words(key).capitalize(), "", [(key, steps, "main", False, key)], zero=True)
            for key in statistics
        ],
        _chart("Speed", "steps per second", [("speed", steps, "main", False, "it_per_s")], zero=True),
    ]
    drawn = "".join(charts)
    if not drawn:
        return ""
    return (
        '<section><input class="axis" type="radio" name="axis" id="by-time" checked>'
        '<input class="axis" type="radio" name="axis" id="by-step">'
        '<div class="bar"><h2>Training</h2><div class="switch"><label for="by-time">over time</label>'
        f'<label for="by-step">over steps</label></div></div><div class="charts">{drawn}</div></section>'
    )


Curve = tuple[str, Sequence[Line], str, bool, str]  # name, lines, style, dots, key


def _named_scores(steps: Sequence[Line], scores: Sequence[Line], key: str) -> list[Curve]:
    training: list[Curve] = [("training photos", steps, "faint", False, key)] if any(key in s for s in steps) else []
    return [*training, ("held-out photos", scores, "main", True, f"eval.{key}")]


def _loss(steps: Sequence[Line], parts: Sequence[str]) -> list[Curve]:
    curves: list[Curve] = [("each step", steps, "faint", False, "loss"), ("smoothed", steps, "main", False, "~loss")]
    if len(parts) > 1:
        styles = cycle(("second", "third", "fourth"))
        curves += [(tables.words(part), steps, style, False, f"~{part}") for part, style in zip(parts, styles)]
    return curves


def _chart(title: str, unit: str, curves: Sequence[Curve], log: bool = False, zero: bool = False) -> str:
    seconds = [float(line.get("seconds") or 0) for _, lines, *_ in curves for line in lines]
    scale, unit_of_time = _time_unit(max(seconds, default=0))
    drawn = []
    for kind, axis, factor in (("by-time", f"training time, {unit_of_time}", scale), ("by-step", "steps", 1.0)):
        series = [
            Series(name, [_x(line, kind) * factor for line in lines], _values(lines, key), style, dots)
            for name, lines, style, dots, key in curves
        ]
        drawn.append(f'<div class="{kind}">{line_chart(series, axis, log=log, zero=zero, title=title)}</div>')
    if "<svg" not in drawn[0]:
        return ""
    shown = [curve for curve in curves if any(math.isfinite(v) for v in _values(curve[1], curve[4]))]
    keys = "".join(f'<span class="key"><i class="{style}"></i>{text(name)}</span>' for name, _, style, *_ in shown)
    head = f"{text(title)} <span class='soft'>{text(unit)}</span>" if unit else text(title)
    side = f"<span>{keys}</span>" if len(shown) > 1 else ""
    return f'<div class="card"><div class="head"><h3>{head}</h3>{side}</div>{"".join(drawn)}</div>'


def _keys(steps: Sequence[Line]) -> tuple[list[str], list[str]]:
    """The loss's parts and the model's statistics: a log line has them before and after ``it_per_s``."""
    if not steps:
        return [], []
    keys = list(dict.fromkeys(key for line in steps for key in line if isinstance(line[key], int | float)))
    loss = keys.index("loss") if "loss" in keys else -1
    speed = keys.index("it_per_s") if "it_per_s" in keys else len(keys)
    return keys[loss + 1 : speed], [key for key in keys[speed + 1 :] if key != "psnr"]


def _x(line: Line, kind: str) -> float:
    return float((line.get("seconds") if kind == "by-time" else line.get("step", line.get("steps"))) or 0)


def _values(lines: Sequence[Line], key: str) -> list[float]:
    """The values of ``key`` (``eval.psnr`` looks inside, ``~loss`` is smoothed); NaN where a line has none."""
    if key.startswith("~"):
        return smooth(_values(lines, key[1:]))
    inside = key.startswith("eval.")
    found = [(line["eval"] if inside else line).get(key.removeprefix("eval.")) for line in lines]
    return [float(value) if isinstance(value, int | float) else math.nan for value in found]


def _time_unit(seconds: float) -> tuple[float, str]:
    return (1.0, "s") if seconds < 300 else (1 / 60, "min") if seconds < 3 * 3600 else (1 / 3600, "h")


# --- views ------------------------------------------------------------------------------------------------------


def _views(views: Sequence[HeldOut]) -> str:
    if not views:
        return ""
    shown = images.choose(views)
    words = "Held-out photos" if len(shown) == len(views) else f"Held-out photos: {len(shown)} of {len(views)}"
    shape = "portrait" if sum(view.height >= view.width for view in views) * 2 > len(views) else "landscape"
    legend = (
        f'<div class="legend">error&nbsp;0 <i style="background: linear-gradient(90deg, {images.legend()})"></i>'
        f"{images.FULL_ERROR}/255 and more</div>"
    )
    cards = "".join(map(_view, shown))
    return f'<section><div class="bar"><h2>{words}</h2>{legend}</div><div class="views {shape}">{cards}</div></section>'


def _view(view: HeldOut) -> str:
    scores = f"{view.psnr:.2f} dB" + ("" if view.ssim is None else f" · SSIM {view.ssim:.4f}")
    figures = "".join(
        f'<figure><img src="{uri}" width="{view.width}" height="{view.height}" '
        f'alt="{text(view.name)}: {name}"><figcaption>{name}</figcaption></figure>'
        for name, uri in zip(("photo", "render", "error"), images.triplet(view))
    )
    return (
        f'<article class="card"><div class="head"><h3>{text(view.name)}</h3><span>{scores}</span></div>'
        f'<div class="triplet">{figures}</div></article>'
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}
