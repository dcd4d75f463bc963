"""Pictures for the page: a channel of a model as an image, its depth beside it, and the size that can be afforded."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.contracts import Cameras, Channel, Rendering
from nerfkit.viewer.camera import Size
from nerfkit.viewer.subject import Drawable
from nerfkit.views.color import Limits, depth_limits
from nerfkit.views.frames import needed_for, pixels

FAR = 160.0  # depth of what isn't there: viser's end at 167
_FEWEST = 48  # pixels, of a picture's longer side


class Stale(Exception):
    """Nobody waits for this picture any more."""


@dataclass(frozen=True, eq=False)
class Picture:
    image: NDArray[np.uint8]  # [H, W, 3]
    depth: NDArray[np.float32]  # [H, W] z, FAR where nothing is


@dataclass
class Pace:
    """How many pixels of a channel this machine draws in a second, learnt from those it has drawn."""

    rates: dict[Channel, float] = field(default_factory=dict)
    first: float = 2e4

    def learn(self, channel: Channel, pixels: int, seconds: float) -> None:
        rate = pixels / max(seconds, 1e-6)
        self.rates[channel] = rate if channel not in self.rates else 0.6 * self.rates[channel] + 0.4 * rate

    def size(self, channel: Channel, full: Size, seconds: float) -> Size:
        """The largest size of the shape of ``full``, and not above it, that takes about ``seconds``."""
        affordable = self.rates.get(channel, self.first) * seconds
        shrink = min(1.0, max(math.sqrt(affordable / (full[0] * full[1])), _FEWEST / max(full)))
        return max(2, round(full[0] * shrink)), max(2, round(full[1] * shrink))

    def seconds(self, channel: Channel, size: Size) -> float:
        return size[0] * size[1] / self.rates.get(channel, self.first)


class Painter:
    """Draws pictures of a model and keeps account of the time."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self._limits: Limits | None = None

    def paint(
        self, model: Drawable, camera: Cameras, channel: Channel, wanted: Callable[[], bool] = lambda: True
    ) -> Picture:
        """A picture over the model's background.

        Raises:
            Stale: it wasn't ``wanted`` any more before it was done.
        """

        def still_wanted(stage: str, done: int, total: int) -> None:
            if not wanted():
                raise Stale

        start = time.perf_counter()
        with torch.no_grad():
            drawn = model.render(camera, needed_for([channel]) | {"depth", "alpha"}, still_wanted)
        self.pace.learn(channel, camera.width * camera.height, time.perf_counter() - start)
        assert drawn.depth is not None and drawn.alpha is not None
        depth = torch.where(drawn.alpha > 0.5, drawn.depth, FAR).float().cpu().numpy()
        return Picture(pixels(drawn, channel, self._range(drawn) if channel == "depth" else None), depth)

    def _range(self, drawn: Rendering) -> Limits:
        """Limits of depth's colours that follow the view slowly, so that they don't flicker."""
        near, far = depth_limits([(drawn.depth, drawn.alpha)])
        if self._limits is not None:
            near, far = (0.7 * old + 0.3 * new for old, new in zip(self._limits, (near, far), strict=True))
        self._limits = near, far
        return self._limits
