"""Which views are trained on and which are held out."""

from __future__ import annotations

import math

from nerfkit.errors import NerfkitError


def split(count: int, hold_out_every: int) -> tuple[list[int], list[int]]:
    """Training and held-out indices of ``count`` views sorted by name: every n-th, from 0 on, is held out.

    ``hold_out_every`` <= 0 holds nothing out, and so does a scene of fewer than 3 views, which needs
    every one of them.

    Raises:
        NerfkitError: ``hold_out_every`` is 1, which would hold out every view.
    """
    if hold_out_every == 1:
        raise NerfkitError("hold_out_every 1: leaves no photo to train on; 0 holds out none, 2 every second one")
    if hold_out_every <= 0 or count < 3:
        return list(range(count)), []
    held_out = list(range(0, count, hold_out_every))
    return [i for i in range(count) if i % hold_out_every], held_out


def some_of(views: list[int], most: int) -> list[int]:
    """Every n-th of the views, so that they are ``most`` at most."""
    return views[:: max(1, math.ceil(len(views) / most))]
