"""Pictures for the page: a channel of a model as an image, its depth beside it, drawn whole or strip by strip."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.contracts import Cameras, Channel, Rendering
from nerfkit.viewer.pace import Pace
from nerfkit.viewer.subject import Drawable
from nerfkit.views.color import Limits, depth_limits
from nerfkit.views.frames import needed_for, pixels

FAR = 160.0  # depth of what isn't there: viser's end at 167
STRIP = 0.7  # seconds that a strip may take, before what there is by now is shown
_DEPTH_SIDE = 640  # pixels: depth only hides lines, and is the larger part of what is sent


class Stale(Exception):
    """Nobody waits for this picture any more."""


@dataclass(frozen=True, eq=False)
class Picture:
    image: NDArray[np.uint8]  # [H, W, 3]
    depth: NDArray[np.float32]  # [H, W] z, FAR where nothing is

    def enlarged(self, width: int, height: int) -> Picture:
        """The same at another size; depth isn't mixed across edges."""
        image: NDArray[np.uint8] = cv2.resize(self.image, (width, height), interpolation=cv2.INTER_CUBIC)
        depth: NDArray[np.float32] = cv2.resize(self.depth, (width, height), interpolation=cv2.INTER_NEAREST)
        return Picture(image, depth)

    @property
    def small_depth(self) -> NDArray[np.float32]:
        """Depth for the page, which needn't be as fine as the image."""
        step = -(-max(self.depth.shape) // _DEPTH_SIDE)
        return np.ascontiguousarray(self.depth[step // 2 :: step, step // 2 :: step])


class Painter:
    """Draws pictures of a model for one viewer and keeps account of the time."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self._limits: Limits | None = None

    def sketch(self, model: Drawable, camera: Cameras, channel: Channel) -> Picture:
        """The first picture of a view, always wanted: without it a camera that moves on and on would see nothing."""
        return self._paint(model, camera, channel, True, lambda: True)

    def refine(
        self, model: Drawable, camera: Cameras, channel: Channel, under: Picture, wanted: Callable[[], bool]
    ) -> Iterator[Picture]:
        """A finer picture; one that takes long comes several times, ever more of it drawn over ``under``.

        Raises:
            Stale: it wasn't ``wanted`` any more before it was done.
        """
        seconds = camera.width * camera.height / self.pace.rate(channel, False)
        count = min(camera.height, max(1, math.ceil(seconds / STRIP)))
        if count == 1:
            yield self._paint(model, camera, channel, False, wanted)
            return
        whole = under.enlarged(camera.width, camera.height)
        for index in range(count):
            rows = slice(index * camera.height // count, (index + 1) * camera.height // count)
            strip = self._paint(model, strip_of(camera, rows), channel, False, wanted, settled=True)
            whole.image[rows], whole.depth[rows] = strip.image, strip.depth
            yield whole

    def _paint(
        self, model: Drawable, camera: Cameras, channel: Channel, rough: bool, wanted: Callable[[], bool],
        settled: bool = False,
    ) -> Picture:  # fmt: skip
        """A picture over the model's background; ``settled``: in the colours for depth of the last one."""

        def still_wanted(stage: str, done: int, total: int) -> None:
            if not wanted():
                raise Stale

        still_wanted("pixels", 0, 1)
        start = time.perf_counter()
        with torch.no_grad():
            drawn = model.render(camera, needed_for([channel]) | {"depth", "alpha"}, still_wanted)
        self.pace.learn(channel, rough, camera.width * camera.height, time.perf_counter() - start)
        assert drawn.depth is not None and drawn.alpha is not None
        depth = torch.where(drawn.alpha > 0.5, drawn.depth, FAR).float().cpu().numpy()
        limits = None if channel != "depth" else self._limits if settled and self._limits else self._range(drawn)
        return Picture(pixels(drawn, channel, limits), depth)

    def _range(self, drawn: Rendering) -> Limits:
        """Limits of depth's colours that follow the view slowly, so that they don't flicker."""
        near, far = depth_limits([(drawn.depth, drawn.alpha)])
        if self._limits is not None:
            near, far = (0.7 * old + 0.3 * new for old, new in zip(self._limits, (near, far), strict=True))
        self._limits = near, far
        return self._limits


def strip_of(camera: Cameras, rows: slice) -> Cameras:
    """A pinhole camera that sees these rows of a camera's picture."""
    up = torch.tensor([[0.0, 0.0, 0.0, float(rows.start)]]).to(camera.intrinsics)
    return dataclasses.replace(camera, intrinsics=camera.intrinsics - up, height=rows.stop - rows.start)
