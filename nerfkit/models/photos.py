"""What the photos of a scene ask of any model, where no option says. Imports no torch before it is asked."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_DIFFERENT = 0.25  # stops; by the same measure photos taken at one exposure are 0.01 apart, fox 0.1

log = logging.getLogger("nerfkit")


def default_exposure(scene: Scene) -> Literal["on", "off"]:
    """Whether the photos differ so much that one brightness for all would leave floaters and haze."""
    from nerfkit.data import exposure

    gains = scene.photo_gains
    stops = 0.0 if gains is None else exposure.stops(gains)
    if stops <= _DIFFERENT:
        return "off"
    log.info("the photos differ by %.1f stops in exposure: each gets its own, renders their mean", stops)
    return "on"


def default_masks(scene: Scene, model: str) -> Literal["ignore", "empty"]:
    """Whether mask files leave pixels out, or say that nothing is there.

    Args:
        model: whose option it is, for the message.
    """
    from nerfkit.data.masks import hide_the_scene

    if not hide_the_scene(scene):
        return "empty"
    log.info("masks hide what stands before the scene: these pixels are left out (else: --%s.masks empty)", model)
    return "ignore"
