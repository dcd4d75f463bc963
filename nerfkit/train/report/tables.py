"""Tables of a report: what was measured, set and scored."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nerfkit.train.report.images import HeldOut
from nerfkit.train.run import Run
from nerfkit.webpage import duration, text


def section(run: Run, metrics: Mapping[str, Any], views: Sequence[HeldOut]) -> str:
    """The scores of the held-out views, and what the run was told."""
    plain = {key: value for key, value in metrics.items() if key != "eval"}
    settings = {field.name: getattr(run.config, field.name) for field in dataclasses.fields(run.config)}
    options = settings.pop("model_options")
    tables = [_scores(views), table("Measured", plain), table("Settings", settings)]
    if dataclasses.is_dataclass(options):
        tables.append(table(f"Options of {run.config.model}", vars(options)))
    return f'<section><h2>Details</h2><div class="tables">{"".join(tables)}</div></section>'


def table(title: str, values: Mapping[str, Any]) -> str:
    """A card with a row for each value that is not None; nothing without any."""
    made = rows(values)
    return f'<div class="card"><div class="head"><h3>{text(title)}</h3></div>{made}</div>' if made else ""


def rows(values: Mapping[str, Any]) -> str:
    """The table alone."""
    given = {key: value for key, value in values.items() if value is not None}
    made = "".join(_row((words(key), shown(value, key))) for key, value in given.items())
    return f"<table>{made}</table>" if made else ""


def shown(value: Any, key: str = "") -> str:
    """A value for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key.endswith("_bytes"):
        return " ".join(data_size(value))
    if key == "seconds":
        return " ".join(duration(value))
    if isinstance(value, int):
        return f"{value:,}" if key != "seed" else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(shown(item) for item in value)
    return str(value)


def words(key: str) -> str:
    """What a key of the run's files means."""
    named = {"seconds": "training time", "file_bytes": "model file"}
    return named.get(key, key.removesuffix("_bytes").replace("_", " "))


def data_size(size: float) -> tuple[str, str]:
    """Bytes as a number and its unit for people."""
    return (f"{size / 1e9:.2f}", "GB") if size >= 1e9 else (f"{size / 1e6:.1f}", "MB")


def _scores(views: Sequence[HeldOut]) -> str:
    if not views:
        return ""
    scores = [(view.name, f"{view.psnr:.2f}", "-" if view.ssim is None else f"{view.ssim:.4f}") for view in views]
    ssims = [view.ssim for view in views if view.ssim is not None]
    mean = ("mean", f"{_mean(v.psnr for v in views):.2f}", f"{_mean(ssims):.4f}" if ssims else "-")
    head = "<thead><tr><th>Held-out photo</th><th>PSNR, dB</th><th>SSIM</th></tr></thead>"
    body = "".join(map(_row, scores))
    foot = f"<tfoot>{_row(mean)}</tfoot>"
    return f'<div class="card"><table class="scores">{head}<tbody>{body}</tbody>{foot}</table></div>'


def _row(cells: Sequence[str]) -> str:
    return f"<tr><th>{text(cells[0])}</th>{''.join(f'<td>{text(cell)}</td>' for cell in cells[1:])}</tr>"


def _mean(values: Iterable[float]) -> float:
    kept = list(values)
    return math.fsum(kept) / len(kept)
