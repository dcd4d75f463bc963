"""How much of a photo's detail is finer than two of its pixels: phones' photos and videos' frames often have next to
none there."""

from __future__ import annotations

import math

import cv2
import numpy as np

from nerfkit.data.scene import Scene
from nerfkit.data.split import some_of
from nerfkit.data.view import PhotoView

_PHOTOS = 8


def kept_at_half(scene: Scene) -> float:
    """PSNR in dB of training photos that were halved and enlarged again, against what they were; inf: nothing is lost.

    Of some of the photos, and only where masks show something.
    """
    chosen = some_of(scene.train, _PHOTOS)
    if not chosen:
        return math.inf
    squares, count = np.sum([_lost(scene.views[index]) for index in chosen], axis=0)
    return 10 * math.log10(255**2 * count / squares) if squares > 0 else math.inf


def _lost(view: PhotoView) -> tuple[float, int]:
    """The sum of the squared differences, in levels of 255, and of how many numbers it is."""
    photo, mask = view.image().numpy(), view.mask()
    height, width = photo.shape[:2]
    half = cv2.resize(photo, (math.ceil(width / 2), math.ceil(height / 2)), interpolation=cv2.INTER_AREA)
    lost = cv2.absdiff(cv2.resize(half, (width, height), interpolation=cv2.INTER_CUBIC), photo)
    if mask is not None:
        lost = lost[mask.numpy() >= 128]
    return float(np.square(lost, dtype=np.float32).sum(dtype=np.float64)), lost.size
