"""Two drawings of one place compared: beside each other, or parted by a line that wanders."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Rendering
from nerfkit.data.similarity import Similarity
from nerfkit.views.draw import Channels, Draw

Combine = Callable[[Tensor, Tensor], Tensor]

SWEEP = 6.0  # seconds that the line takes there and back
_LETTERS = 1 / 24  # of a picture's height
_SHADE = 0.55  # of the darkness behind letters


def mapped(draw: Draw, other_from_scene: Similarity) -> Draw:
    """The drawing of another scene frame, for cameras of this one; its depth and normals are this one's, too."""
    back = other_from_scene.inverse()

    def drawn(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        poses = other_from_scene.poses(camera.world_from_cam)
        one = draw(dataclasses.replace(camera, world_from_cam=poses), channels, moment)
        depth = None if one.depth is None else one.depth * back.scale
        normal = None if one.normal is None else one.normal @ back.rotation.to(one.normal).T
        return dataclasses.replace(one, depth=depth, normal=normal)

    return drawn


def side_by_side(first: Draw, second: Draw) -> Draw:
    """Both pictures, each as large as the camera's."""

    def both(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        left, right = first(camera, channels, moment), second(camera, channels, moment)
        return _combined(left, right, lambda a, b: torch.cat([a, b], 1))

    return both


def wipe(first: Draw, second: Draw, sweeps: int = 1) -> Draw:
    """The first picture left of a line, the second right of it; over the path it goes ``sweeps`` times there and back.

    It begins and ends in the middle, so that a closed path loops.
    """

    def parted(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        place = line_at(moment, sweeps) * camera.width
        left, right = first(camera, channels, moment), second(camera, channels, moment)
        column = torch.arange(camera.width)

        def pick(a: Tensor, b: Tensor) -> Tensor:
            of_first = (column + 0.5 < place).to(a.device).view(1, -1, *[1] * (a.ndim - 2))
            return torch.where(of_first, a, b)

        out = _combined(left, right, pick)
        half = max(1.0, camera.height / 540)
        ink = (half + 0.5 - (column + 0.5 - place).abs()).clamp(0, 1).expand(camera.height, camera.width)
        return painted(out, ink, torch.ones(camera.height, camera.width))

    return parted


def line_at(moment: float, sweeps: int) -> float:
    """Where the line is, in widths."""
    return 0.5 + 0.5 * math.sin(2 * math.pi * sweeps * moment)


def labelled(draw: Draw, text: str, right: bool = False) -> Draw:
    """The drawing with words in its upper left or right corner."""

    def drawn(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        one = draw(camera, channels, moment)
        if one.rgb is None:
            return one
        ink, light = _label(text, right, camera.width, camera.height)
        return painted(one, ink, light)

    return drawn


def painted(drawn: Rendering, ink: Tensor, light: Tensor) -> Rendering:
    """The drawing with grey paint: how much of each pixel it covers, and how light it is; both [H, W]."""
    if drawn.rgb is None:
        return drawn
    cover = ink.to(drawn.rgb)[..., None]
    rgb = drawn.rgb + cover * (light.to(drawn.rgb)[..., None] - drawn.rgb)
    alpha = None if drawn.alpha is None else drawn.alpha + cover[..., 0] * (1 - drawn.alpha)
    return dataclasses.replace(drawn, rgb=rgb, alpha=alpha)


@lru_cache(maxsize=4)
def _label(text: str, right: bool, width: int, height: int) -> tuple[Tensor, Tensor]:
    """Paint for white words on a dark plate."""
    from PIL import Image, ImageDraw, ImageFont

    from nerfkit.views.sheet import shortened

    size = max(9, round(height * _LETTERS))
    words = shortened(text, max(1, width // 2 - 3 * size), size)
    font = ImageFont.load_default(size)
    plate, letters = (Image.new("L", (width, height)) for _ in range(2))
    across, down = font.getlength(words) + size, size * 1.7
    x, y = (width - across - size / 2 if right else size / 2), size / 2
    ImageDraw.Draw(plate).rounded_rectangle((x, y, x + across, y + down), size / 3, fill=255)
    ImageDraw.Draw(letters).text((x + size / 2, y + down / 2), words, fill=255, font=font, anchor="lm")
    dark, white = (torch.from_numpy(np.asarray(image, np.float32) / 255) for image in (plate, letters))
    ink = torch.maximum(dark * _SHADE, white)
    return ink, white / ink.clamp_min(1e-6)


def _combined(left: Rendering, right: Rendering, combine: Combine) -> Rendering:
    def part(a: Tensor | None, b: Tensor | None) -> Tensor | None:
        return None if a is None or b is None else combine(a, b.to(a.device))

    return Rendering(
        part(left.rgb, right.rgb), part(left.alpha, right.alpha), part(left.depth, right.depth),
        part(left.normal, right.normal), left.background,
    )  # fmt: skip
