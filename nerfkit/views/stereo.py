"""A picture for each eye."""

from __future__ import annotations

import dataclasses
from typing import Literal

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Rendering
from nerfkit.views.draw import Channels, Draw

Layout = Literal["side-by-side", "over-under"]  # the left eye's picture is on the left, or above

METRES = 0.063  # between a grown-up's eyes (Dodgson 2004, "Variation and extrema of human interpupillary distance")
SHARE = 1 / 30  # of the distance to what is looked at: stereographers' rule where lengths have no unit


def both(left: Draw, right: Draw, layout: Layout) -> Draw:
    """Two eyes' pictures beside or above each other."""
    axis = 1 if layout == "side-by-side" else 0

    def drawn(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        eyes = [draw(camera, channels, moment) for draw in (left, right)]

        def joined(name: str) -> Tensor | None:
            parts = [getattr(one, name) for one in eyes]
            return None if parts[0] is None else torch.cat(parts, axis)

        return Rendering(joined("rgb"), joined("alpha"), joined("depth"), joined("normal"), eyes[0].background)

    return drawn


def aside(draw: Draw, offset: float, converge: bool) -> Draw:
    """The drawing of an eye that is to the right of the camera by ``offset``, see :func:`eye`."""

    def drawn(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        return draw(eye(camera, offset, converge), channels, moment)

    return drawn


def eye(camera: Cameras, offset: float, converge: bool) -> Cameras:
    """The camera moved to its right by ``offset`` (scene units).

    Args:
        converge: pinhole pictures are shifted (not turned, which would tilt the floor) so that the focus of the scene,
            its origin, lies in the screen. Panoramas have no screen: their eyes look straight ahead.
    """
    pose = camera.world_from_cam.clone()
    right, forward = pose[0, :3, 0], pose[0, :3, 2]
    ahead = float(-pose[0, :3, 3] @ forward)  # of the focus
    intrinsics = camera.intrinsics
    if converge and ahead > 0:
        intrinsics = intrinsics.clone()
        intrinsics[0, 2] += intrinsics[0, 0] * offset / ahead
    pose[0, :3, 3] += offset * right
    return dataclasses.replace(camera, world_from_cam=pose, intrinsics=intrinsics)


def default_distance(cameras: Cameras, metric_scale: float | None) -> float:
    """Between the eyes, scene units: a person's where lengths are known, else a share of the distance to the focus.

    Args:
        metric_scale: scene units in a metre, None where it isn't known.
    """
    if metric_scale is not None:
        return METRES * metric_scale
    return SHARE * float(cameras.world_from_cam[:, :3, 3].norm(dim=1).median())
