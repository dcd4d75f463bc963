"""The best file of a given size: which Gaussians, which SH degree and which quantisation keep the most PSNR."""

from __future__ import annotations

import functools
import logging
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.progress import ProgressSink, quiet
from nerfkit.splats import formats
from nerfkit.splats.blocks import degree_of, select
from nerfkit.splats.formats import with_degree
from nerfkit.splats.judge import Judge, contributions, draw
from nerfkit.splats.refit import STEPS, refit
from nerfkit.splats.upright import USUAL, Up

log = logging.getLogger("nerfkit")

_KNOBS: Mapping[str, list[dict[str, Any]]] = {  # finest first
    ".spz": [{"sh_bits": (8, 8)}, {"sh_bits": (7, 6)}, {"sh_bits": (6, 5)}, {"sh_bits": (5, 4)}, {"sh_bits": (4, 3)}],
    ".sog": [{"palette": 1 << bits} for bits in (16, 14, 12, 10)],
}
_ROUNDS = 4  # of looking for the number of Gaussians that fits
_MARGIN = 0.99  # of the size that is aimed at: sizes of compressed files aren't quite proportional
_CLOSE = 0.97  # of the size: nearer needn't be looked for
_FEW_STEPS = 60  # of fitting what is left, to compare candidates
_INVISIBLE = 55.0  # dB, from where on nobody sees a difference
_SAME = 0.02  # dB: no coarser setting can be worth more than all Gaussians at a setting that loses less


@dataclass(frozen=True)
class Fitted:
    """What goes into the file, and what it costs."""

    gaussians: Gaussians
    settings: Mapping[str, Any]
    stored: Gaussians  # the same as the file gives them back
    tried: list[dict[str, Any]] = field(default_factory=list)


def fit(
    gaussians: Gaussians, limit: int, suffix: str, judge: Judge, *, up: Up | None = None, progress: ProgressSink = quiet
) -> Fitted:
    """The Gaussians and settings whose file of the format has at most ``limit`` bytes and the highest PSNR.

    Every candidate is written, read back and drawn. For each SH degree and setting as many of the Gaussians are taken
    as fit, those first that give the most light in some view; where Gaussians or bands went, what is left is fitted to
    how the whole scene looks from the judge's guides.

    Args:
        suffix: of the format, such as ``.spz``.
        judge: the pictures that count; a few of them, made smaller, are looked at.
        up: as for :func:`nerfkit.splats.formats.write`.

    Raises:
        NerfkitError: not even a tenth of a percent of the Gaussians fits.
    """
    with tempfile.TemporaryDirectory() as folder:
        search = _Search(gaussians, limit, Path(folder) / f"candidate{suffix}", judge.coarse(), up, progress)
        degree, knobs = min(degree_of(gaussians), formats.max_degree(suffix)), _KNOBS.get(suffix, [{}])
        candidates = len(knobs) + degree if degree else 1
        found: list[tuple[float, Gaussians, dict[str, Any]]] = []
        tried: list[dict[str, Any]] = []
        full = search.judge.psnr(gaussians)
        for done, (lower, settings) in enumerate(_candidates(degree, knobs, found), 1):
            chosen = search.pruned(lower, settings)
            if chosen is not None:
                score = search.score(chosen, settings, _FEW_STEPS)
                found.append((score, chosen, settings))
                tried.append({"sh_degree": lower, "gaussians": len(chosen), "psnr": score, **settings})
                if len(chosen) == len(gaussians) and score > min(full, _INVISIBLE) - _SAME:
                    break
            progress("settings", done, candidates)
        progress("settings", candidates, candidates)
        if not found:
            raise NerfkitError(
                f"--max-size: {limit:,} bytes hold too few of {len(gaussians):,} Gaussians; allow a larger file"
            )
        _, chosen, settings = _best(found)
        gaussians = search.finished(chosen, settings)
        return Fitted(gaussians, settings, search.stored(gaussians, settings), tried)


class _Search:
    """One scene, one limit, one file that candidates are written to."""

    def __init__(
        self, gaussians: Gaussians, limit: int, file: Path, judge: Judge, up: Up | None, progress: ProgressSink
    ):  # fmt: skip
        self.gaussians, self.limit, self.file, self.judge, self.up, self.progress = (
            gaussians, limit, file, judge, up, progress,
        )  # fmt: skip

    @functools.cached_property
    def order(self) -> Tensor:
        """The Gaussians' rows, the most useful first."""
        return self.ordered(self.gaussians)

    @functools.cached_property
    def pictures(self) -> list[Tensor]:
        """How the whole scene looks from the guides, uint8."""
        judge = self.judge
        drawn = (draw(judge.core, self.gaussians, camera, judge.background, judge.near) for camera in judge.guides)
        return [(picture * 255).round().byte() for picture in drawn]

    def size(self, gaussians: Gaussians, settings: Mapping[str, Any]) -> int:
        """Bytes of the file, which is written."""
        with _without_warnings():  # who writes the file that is kept tells what is lost
            formats.write(self.file, gaussians, up=self.up, settings=settings)
        return self.file.stat().st_size

    def stored(self, gaussians: Gaussians, settings: Mapping[str, Any]) -> Gaussians:
        """As the file gives them back."""
        self.size(gaussians, settings)
        return formats.read(self.file, up=self.up or USUAL)

    def pruned(self, degree: int, settings: Mapping[str, Any]) -> Gaussians | None:
        """As many Gaussians of a degree as fit; None where hardly any do."""
        flat = with_degree(self.gaussians, degree)
        size = self.size(flat, settings)
        return flat if size <= self.limit else self._most(flat, self.order, size, settings)

    def score(self, chosen: Gaussians, settings: Mapping[str, Any], steps: int) -> float:
        """The PSNR of the file, after a short fit."""
        return self.judge.psnr(self.stored(self.fitted(chosen, steps), settings))

    def fitted(self, chosen: Gaussians, steps: int) -> Gaussians:
        if len(chosen) == len(self.gaussians) and chosen.sh.shape == self.gaussians.sh.shape:
            return chosen
        judge = self.judge
        return refit(
            judge.core, chosen, judge.guides, self.pictures, judge.background, near=judge.near, steps=steps,
            progress=self.progress,
        )  # fmt: skip

    def finished(self, chosen: Gaussians, settings: Mapping[str, Any]) -> Gaussians:
        """The chosen ones, fitted for longer; values that compress worse than before cost a few more of them."""
        fitted = self.fitted(chosen, STEPS)
        size = self.size(fitted, settings)
        if size <= self.limit:
            return fitted
        return self._most(fitted, self.ordered(fitted), size, settings) or chosen

    def ordered(self, gaussians: Gaussians) -> Tensor:
        """The rows of Gaussians, the most useful first."""
        judge = self.judge
        light = contributions(judge.core, gaussians, judge.guides, self.progress, judge.near)
        return light.argsort(descending=True)

    def _most(
        self, gaussians: Gaussians, order: Tensor, size: int, settings: Mapping[str, Any]
    ) -> Gaussians | None:  # fmt: skip
        """As many of the first in ``order`` as the file holds; ``size`` is that of all."""
        sizes, best = {len(gaussians): size}, None
        for _ in range(_ROUNDS):
            count = _guess(sizes, self.limit)
            if count in sizes or count * 1000 < len(gaussians):
                break
            chosen = select(gaussians, order[:count].sort().values)
            sizes[count] = size = self.size(chosen, settings)
            if size <= self.limit and (best is None or count > len(best)):
                best = chosen
            if _CLOSE * self.limit <= size <= self.limit:
                break
        return best


def _guess(sizes: Mapping[int, int], limit: int) -> int:
    """How many Gaussians a file of at most ``limit`` bytes holds, by the sizes of files of other numbers of them.

    On the line through the nearest on both sides. Where all were too large it is the line through the two nearest, for
    files have something in common whatever the number: or, of a single one, as if they had nothing.
    """
    above = sorted(count for count, size in sizes.items() if size > limit)
    below = sorted(count for count, size in sizes.items() if size <= limit)
    one = above[0]
    other = below[-1] if below else above[1] if len(above) > 1 else 0
    slope = (sizes[one] - sizes.get(other, 0)) / (one - other)
    return max(0, one - math.ceil((sizes[one] - limit * _MARGIN) / slope)) if slope > 0 else 0


@contextmanager
def _without_warnings() -> Iterator[None]:
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _candidates(
    degree: int, knobs: Sequence[dict[str, Any]], found: Sequence[tuple[float, Gaussians, dict[str, Any]]]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Degrees and settings, the finest first: all settings with all bands, and the best of them so far with fewer.

    Settings are of the higher bands, so degree 0 needs no choice of them.

    Args:
        found: what has come of those that were given before.
    """
    if degree:
        yield from ((degree, settings) for settings in knobs)
    for lower in range(degree - 1, 0, -1):
        yield lower, _best(found)[2] if found else knobs[-1]
    yield 0, {}


def _best(found: Sequence[tuple[float, Gaussians, dict[str, Any]]]) -> tuple[float, Gaussians, dict[str, Any]]:
    return max(found, key=lambda item: item[0])
