"""What is done to a model's drawing before it is a picture: its background, finer sampling.

Every step takes a drawing and gives one, so that they combine: crop, overlay, supersampling, panorama, stereo. Colours
are sRGB-encoded throughout, as the model was trained on them, and weighted with alpha once something is transparent.
"""

from __future__ import annotations

import dataclasses
from typing import Literal, Protocol

import torch
from torch import Tensor

from nerfkit.cameras import resize
from nerfkit.contracts import Cameras, Channel, Rendering, SceneModel
from nerfkit.errors import NerfkitError

Channels = frozenset[Channel]
Background = Literal["scene", "transparent"] | tuple[float, float, float]  # a colour is sRGB in [0, 1]


class Draw(Protocol):
    """Draws one camera (C = 1) of the scene frame at a moment of the path, from 0 up to (but without) 1."""

    def __call__(self, camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering: ...


def of_model(model: SceneModel) -> Draw:
    """What the model itself draws; without gradients."""

    def draw(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        with torch.no_grad():
            return model.render(camera, channels)

    return draw


def over(draw: Draw, background: Background) -> Draw:
    """The drawing over another background; over ``transparent`` rgb is weighted with alpha, and alpha always given.

    Raises (when drawn):
        NerfkitError: a model that doesn't say what its colours lie over.
    """
    if background == "scene":
        return draw
    wanted = (0.0, 0.0, 0.0) if background == "transparent" else background

    def replaced(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        if "rgb" not in channels:
            return draw(camera, channels, moment)
        drawn = draw(camera, channels | {"alpha"}, moment)
        assert drawn.rgb is not None and drawn.alpha is not None
        if drawn.background is None:
            raise NerfkitError("--background: this model's background isn't known and can't be replaced; leave it out")
        shift = torch.tensor(wanted).to(drawn.rgb) - drawn.background.to(drawn.rgb)
        rgb = (drawn.rgb + (1 - drawn.alpha[..., None]) * shift).clamp_(0, 1)
        return dataclasses.replace(drawn, rgb=rgb, background=torch.tensor(wanted))

    return replaced


def supersampled(draw: Draw, times: int) -> Draw:
    """``times`` by ``times`` samples a pixel, averaged (as photos are when they are scaled down for training)."""
    if times == 1:
        return draw

    def averaged(camera: Cameras, channels: Channels, moment: float = 0.0) -> Rendering:
        large = resize(camera, camera.width * times, camera.height * times)
        needed: Channels = channels | {"alpha"} if "depth" in channels else channels
        return shrunk(draw(large, needed, moment), times)

    return averaged


def shrunk(drawn: Rendering, times: int) -> Rendering:
    """The means of blocks; of depth that of what is seen, weighted with alpha, which depth needs."""

    def mean(values: Tensor) -> Tensor:
        height, width = values.shape[0] // times, values.shape[1] // times
        return values.reshape(height, times, width, times, *values.shape[2:]).mean((1, 3))

    out = Rendering(background=drawn.background)
    if drawn.rgb is not None:
        out.rgb = mean(drawn.rgb)
    if drawn.alpha is not None:
        out.alpha = mean(drawn.alpha)
    if drawn.depth is not None:
        assert drawn.alpha is not None and out.alpha is not None
        seen = drawn.alpha * (drawn.depth > 0)
        out.depth = mean(drawn.depth * seen) / mean(seen).clamp_min(1e-6)
    if drawn.normal is not None:
        out.normal = torch.nn.functional.normalize(mean(drawn.normal), dim=-1)
    return out
