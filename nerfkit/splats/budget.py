"""The best file of a given size: which Gaussians, which SH degree and which quantisation keep the most PSNR."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.progress import ProgressSink, quiet
from nerfkit.splats import formats
from nerfkit.splats.blocks import degree_of, select
from nerfkit.splats.formats import Up, with_degree
from nerfkit.splats.judge import Judge, contributions

_KNOBS: Mapping[str, list[dict[str, Any]]] = {  # finest first
    ".spz": [{"sh_bits": (8, 8)}, {"sh_bits": (7, 6)}, {"sh_bits": (6, 5)}, {"sh_bits": (5, 4)}, {"sh_bits": (4, 3)}],
    ".sog": [{"palette": 1 << bits} for bits in (16, 14, 12, 10)],
}
_ROUNDS = 4  # of looking for the number of Gaussians that fits
_MARGIN = 0.99  # of the size that is aimed at: sizes of compressed files aren't quite proportional
_CLOSE = 0.97  # of the size: nearer needn't be looked for
_SAME = 0.02  # dB: no coarser setting can be worth more than all Gaussians at a setting that loses less


@dataclass(frozen=True)
class Fitted:
    """What goes into the file, and what it costs."""

    gaussians: Gaussians
    settings: Mapping[str, Any]
    psnr: float  # dB, of the candidates' views
    tried: list[dict[str, Any]] = field(default_factory=list)


def fit(
    gaussians: Gaussians, limit: int, suffix: str, judge: Judge, *, up: Up = "-y", progress: ProgressSink = quiet
) -> Fitted:
    """The Gaussians and settings whose file of the format has at most ``limit`` bytes and the highest PSNR.

    Every candidate is written, read back and drawn. For each SH degree and setting as many of the Gaussians are taken
    as fit, those first that give the most light in some view.

    Args:
        suffix: of the format, such as ``.spz``.
        judge: the pictures that count; a few of them, made smaller, are looked at.

    Raises:
        NerfkitError: not even a tenth of a percent of the Gaussians fits.
    """
    coarse = judge.coarse()
    order: Any = None
    found: list[tuple[float, Gaussians, dict[str, Any]]] = []
    tried: list[dict[str, Any]] = []
    candidates = list(_candidates(min(degree_of(gaussians), formats.max_degree(suffix)), suffix))
    full = coarse.psnr(gaussians)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"candidate{suffix}"
        for done, (degree, settings) in enumerate(candidates, 1):
            flat = with_degree(gaussians, degree)
            size = _size(file, flat, up, settings)
            chosen: Gaussians | None = flat
            if size > limit:
                if order is None:
                    order = contributions(judge.core, gaussians, coarse.guides, progress).argsort(descending=True)
                chosen = _most_that_fit(file, flat, order, limit, size, up, settings)
            if chosen is not None:
                score = coarse.psnr(formats.read(file, up=up))
                found.append((score, chosen, settings))
                tried.append({"sh_degree": degree, "gaussians": len(chosen), "psnr": score, **settings})
                if len(chosen) == len(gaussians) and score > full - _SAME:
                    break
            progress("settings", done, len(candidates))
        progress("settings", len(candidates), len(candidates))
    if not found:
        raise NerfkitError(
            f"--max-size: {limit:,} bytes hold too few of {len(gaussians):,} Gaussians; allow a larger file"
        )
    score, chosen, settings = max(found, key=lambda item: item[0])
    return Fitted(chosen, settings, score, tried)


def _candidates(degree: int, suffix: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Degrees and settings, the finest first; settings are of the higher bands, so degree 0 needs no choice of them."""
    knobs = _KNOBS.get(suffix, [{}])
    for lower in range(degree, 0, -1):
        for settings in knobs if lower == degree else knobs[len(knobs) // 2 : len(knobs) // 2 + 1]:
            yield lower, settings
    yield 0, {}


def _size(file: Path, gaussians: Gaussians, up: Up, settings: Mapping[str, Any]) -> int:
    formats.write(file, gaussians, up=up, settings=settings)
    return file.stat().st_size


def _most_that_fit(
    file: Path, gaussians: Gaussians, order: Any, limit: int, size: int, up: Up, settings: Mapping[str, Any]
) -> Gaussians | None:
    """As many of the first in ``order`` as the file holds, and leaves the file of those; None where hardly any do."""
    n = len(gaussians)
    fits, too_many = 0, n
    fits_size, too_large = 0, size
    best: Gaussians | None = None
    for _ in range(_ROUNDS):
        share = (limit * _MARGIN - fits_size) / (too_large - fits_size)
        count = fits + int((too_many - fits) * share)
        if not fits < count < too_many or count * 1000 < n:
            break
        chosen = select(gaussians, order[:count].sort().values)
        size = _size(file, chosen, up, settings)
        if size <= limit:
            fits, fits_size, best = count, size, chosen
            if size >= _CLOSE * limit:
                return best
        else:
            too_many, too_large = count, size
    if best is not None:
        _size(file, best, up, settings)
    return best
