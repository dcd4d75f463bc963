"""What the masks of a scene mean: that nothing is there, or that something stands before what is."""

from __future__ import annotations

import math

import torch

from nerfkit.data.exposure import pixels_of
from nerfkit.data.scene import Scene

_MOST_POINTS = 20_000
_FEWEST = 200  # sightings of points that tell it
_HALF = 0.5


def hide_the_scene(scene: Scene) -> bool:
    """Whether mask files hide people and things that stand before the scene; else they cut an object out of it.

    Where something passes by, points that most photos show are hidden in others, about as often as pixels are. Points
    of an object that is cut out are in its mask wherever they are seen. Transparent pixels cut out; and where no
    points tell, masks of more than half of all pixels do.
    """
    masked = [index for index in scene.train if scene.views[index].mask_path is not None]
    if not masked or scene.has_alpha:
        return False
    step = max(1, math.ceil(len(scene.points) / _MOST_POINTS))
    points = scene.points[::step]
    seen, hidden = torch.zeros(len(points)), torch.zeros(len(points))
    share = 0.0
    for index in scene.train:
        view = scene.views[index]
        x, y, inside = pixels_of(points, view.camera)
        seen += inside
        mask = view.mask()
        if mask is not None:
            share += float((mask < 128).float().mean()) / len(scene.train)
            hidden[inside] += (mask[y[inside], x[inside]] < 128).float()
    mostly_shown = (seen > 1) & (hidden < _HALF * seen)
    if scene.points_are_random or float(seen[mostly_shown].sum()) < _FEWEST:
        return share < _HALF
    return float(hidden[mostly_shown].sum() / seen[mostly_shown].sum()) > _HALF * share
