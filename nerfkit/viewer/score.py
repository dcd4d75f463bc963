"""How good a model is by now, in the middle of a few photos that it doesn't train on."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, SceneModel
from nerfkit.data.scene import PhotoView, Scene
from nerfkit.errors import NerfkitError
from nerfkit.train.evaluate import draw, ground_truth
from nerfkit.train.metrics import psnr

VIEWS, SIDE = 3, 160  # photos, and the pixels of their parts' sides: little time, for a curve


class Score:
    """The PSNR of parts of some held-out photos, evenly spread; of training photos where none is held out.

    Parts, and not small pictures: Gaussians that were trained for one pixel size are too thick for larger pixels.
    """

    def __init__(self, model: SceneModel, scene: Scene) -> None:
        indices = scene.held_out or scene.train
        count = min(VIEWS, len(indices))
        picks = [indices[k * len(indices) // count] for k in range(count)]
        self._model, self._parts = model, [Middle(scene.views[index]) for index in picks]

    def psnr(self) -> float | None:
        """Their mean, dB; None while there is nothing to draw, or where the photos are gone."""
        try:
            values = [psnr(draw(self._model, part), ground_truth(self._model, part)) for part in self._parts]
        except NerfkitError:
            return None
        return fmean(min(value, 100.0) for value in values)


class Middle:
    """The middle of a photo, at most SIDE pixels wide and high (:class:`nerfkit.contracts.View`)."""

    def __init__(self, view: PhotoView) -> None:
        full = view.camera
        width, height = min(SIDE, full.width), min(SIDE, full.height)
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
