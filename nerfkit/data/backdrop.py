"""Whether photos show their object before plain black or white, as rendered ones and those from a studio do."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from nerfkit.data.scene import Scene
from nerfkit.data.split import some_of

_PLAIN = 3  # levels of 255 from black or white
_SHARE = 0.6  # of the pixels along the photos' borders
_PHOTOS = 24


def backdrop(scene: Scene) -> Literal["black", "white"] | None:
    """The one colour that most of the photos' borders have; None where it is neither black nor white."""
    chosen = some_of(scene.train, _PHOTOS)
    if not chosen:
        return None
    border = torch.cat([_border(scene.views[index].image()) for index in chosen])
    if float((border <= _PLAIN).all(1).float().mean()) > _SHARE:
        return "black"
    if float((border >= 255 - _PLAIN).all(1).float().mean()) > _SHARE:
        return "white"
    return None


def _border(image: Tensor) -> Tensor:
    """The outermost pixels of an image: [B, 3]."""
    return torch.cat([image[0], image[-1], image[:, 0], image[:, -1]])
