"""How good a model is by now, in the middle of a few photos that it doesn't train on."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from statistics import fmean

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, SceneModel
from nerfkit.data.scene import Scene
from nerfkit.data.view import PhotoView
from nerfkit.errors import NerfkitError
from nerfkit.train.evaluate import draw, ground_truth, judged
from nerfkit.train.metrics import psnr

VIEWS, SIDE = 3, 160  # photos, and the pixels of their parts' sides: little time, for a curve
SMALLEST = 20  # pixels of such a side
SECONDS = 0.5  # that a measurement may take


class Score:
    """The PSNR of parts of some held-out photos, evenly spread; of training photos where none is held out.

    Parts, and not small pictures: Gaussians that were trained for one pixel size are too thick for larger pixels.
    A model that is slow to draw, as a field is that has learnt little yet, has smaller parts until it is faster.
    """

    def __init__(self, model: SceneModel, scene: Scene) -> None:
        indices = scene.held_out or scene.train
        count = min(VIEWS, len(indices))
        self._model = model
        self._views = [scene.views[indices[k * len(indices) // count]] for k in range(count)]
        self._side = min(SMALLEST, SIDE)

    def psnr(self) -> float | None:
        """Their mean, dB; None while there is nothing to draw, or where the photos are gone."""
        try:
            value, seconds = self._measure()
            if seconds * 4 < SECONDS and self._side < SIDE:  # of four times the pixels
                self._side = min(2 * self._side, SIDE)
                return self.psnr()
        except NerfkitError:
            return None
        return value

    def _measure(self) -> tuple[float | None, float]:
        """The mean PSNR, None where nothing of the photos can be judged, and the seconds that it took."""
        start = time.perf_counter()
        parts = [Middle(view, self._side) for view in self._views]
        model = self._model
        values = [psnr(draw(model, part), ground_truth(model, part), judged(model, part)) for part in parts]
        finite = [min(value, 100.0) for value in values if not math.isnan(value)]
        return fmean(finite) if finite else None, time.perf_counter() - start


class Middle:
    """The middle of a photo, at most ``side`` pixels wide and high (:class:`nerfkit.contracts.View`)."""

    def __init__(self, view: PhotoView, side: int) -> None:
        full = view.camera
        width, height = min(side, full.width), min(side, full.height)
        x, y = (full.width - width) // 2, (full.height - height) // 2
        self.name, self._view = view.name, view
        self._rows, self._columns = slice(y, y + height), slice(x, x + width)
        shift = torch.tensor([[0.0, 0.0, x, y]])
        self.camera: Cameras = replace(full, intrinsics=full.intrinsics - shift, width=width, height=height)

    def image(self) -> Tensor:  # [H, W, 3] uint8
        return self._view.image()[self._rows, self._columns]

    def mask(self) -> Tensor | None:  # [H, W] uint8
        mask = self._view.mask()
        return None if mask is None else mask[self._rows, self._columns]
