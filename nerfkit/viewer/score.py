"""How good a model is by now, on a few small photos that it doesn't train on."""

from __future__ import annotations

from dataclasses import replace
from statistics import fmean

from nerfkit.cameras import resize
from nerfkit.contracts import SceneModel
from nerfkit.data.images import PhotoCache
from nerfkit.data.scene import PhotoView, Scene
from nerfkit.errors import NerfkitError
from nerfkit.train.evaluate import draw, ground_truth
from nerfkit.train.metrics import psnr

VIEWS, SIDE = 3, 160  # photos, and the pixels of their longer sides: little time, for a curve


class Score:
    """The PSNR of some held-out photos, evenly spread; of training photos where none is held out."""

    def __init__(self, model: SceneModel, scene: Scene) -> None:
        indices = scene.held_out or scene.train
        picks = [indices[k * len(indices) // VIEWS] for k in range(min(VIEWS, len(indices)))]
        cache = PhotoCache(VIEWS * SIDE * SIDE * 4)
        self._model, self._views = model, [_small(scene.views[index], cache) for index in picks]

    def psnr(self) -> float | None:
        """Their mean, dB; None while there is nothing to draw, or where the photos are gone."""
        try:
            values = [psnr(draw(self._model, view), ground_truth(self._model, view)) for view in self._views]
        except NerfkitError:
            return None
        return fmean(min(value, 100.0) for value in values)


def _small(view: PhotoView, cache: PhotoCache) -> PhotoView:
    width, height = view.camera.width, view.camera.height
    shrink = min(1.0, SIDE / max(width, height))
    camera = resize(view.camera, max(1, round(width * shrink)), max(1, round(height * shrink)))
    return replace(view, camera=camera, cache=cache)
