"""A measurement on the way: as many held-out views as there is time for, and none once the run is to stop."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from nerfkit.contracts import SceneModel, View
from nerfkit.train.evaluate import Scores, mean_scores, measure

LEAST = 5.0  # seconds that a measurement may take, however short the training was until then
SHARE = 0.25  # of the seconds trained since the one before, that a measurement may take


class _TimeIsUp(Exception):
    """Ends a measurement in the middle of a picture."""


def allowance(trained: float) -> float:
    """The seconds that a measurement may take after ``trained`` seconds of training since the last."""
    return max(LEAST, SHARE * trained)


def spot_check(
    model: SceneModel,
    views: Sequence[View],
    seconds: float,
    stopped: Callable[[], bool],
    now: Callable[[], float] = time.monotonic,
) -> dict[str, Any] | None:
    """Measures as :func:`nerfkit.train.evaluate.evaluate` does, but ends after ``seconds``, or once ``stopped``.

    The views come in an order of which every beginning is spread over all of them, the same each time. Models that
    draw a picture in parts end within it.

    Returns:
        ``views``, how many were measured, and their mean ``psnr`` (dB) and ``ssim``; None once ``stopped``, or if not
        even one could be measured.
    """
    end = now() + seconds

    def watch(stage: str, done: int, total: int) -> None:
        if stopped() or (now() >= end and done < total):
            raise _TimeIsUp

    measured: list[Scores] = []
    try:
        for done, index in enumerate(spread(len(views))):
            if measured:
                watch("held-out views", done, len(views))
            measured.append(measure(model, views[index], watch).scores)
    except _TimeIsUp:
        pass
    if stopped() or not measured:
        return None
    return mean_scores(measured)


def spread(count: int) -> list[int]:
    """The numbers below ``count`` so that the first few are far apart: in the order of their reversed binary digits."""
    digits = max(1, (count - 1).bit_length())
    return sorted(range(count), key=lambda index: int(f"{index:0{digits}b}"[::-1], 2))
