"""What a drawing shows along a camera path, as images, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.cameras import resize
from nerfkit.contracts import Cameras, Channel, Rendering, SceneModel
from nerfkit.progress import ProgressSink, quiet
from nerfkit.views.color import Limits, depth_limits, depth_to_rgb, normal_to_rgb
from nerfkit.views.draw import Channels, Draw, of_model

Image = NDArray[np.uint8]  # [H, W, 3], or [H, W, 4] with alpha that the colours are not weighted with
Pixels = NDArray[Any]  # an Image, or the same as uint16

PROBES = 16  # frames that tell the depth's range beforehand
PROBE_SIDE = 256  # pixels, their longer side


def render_frames(
    model: SceneModel, cameras: Cameras, channels: Sequence[Channel] = ("rgb",), progress: ProgressSink = quiet
) -> Iterator[dict[Channel, Image]]:
    """The frames in order, each a dict with an image for every channel asked for.

    Nothing is kept: memory doesn't grow with the number of frames. Depth has one range of colors for all frames;
    a few small ones are drawn beforehand to find it. Normals are those of the scene frame.
    """
    draw, needed = of_model(model), needed_for(channels)
    limits = probe_depth(draw, cameras) if "depth" in channels else None
    for index in range(len(cameras)):
        drawn = draw(cameras[index], needed)
        yield {channel: pixels(drawn, channel, limits) for channel in channels}
        progress("frames", index + 1, len(cameras))


def needed_for(channels: Sequence[Channel]) -> Channels:
    """What is to be drawn for images of ``channels``."""
    return frozenset(channels) | (frozenset({"alpha"}) if "depth" in channels else frozenset())


def probe_depth(draw: Draw, cameras: Cameras) -> Limits:
    """The range of depth along a path, from PROBES small frames of it."""
    shrink = min(1.0, PROBE_SIDE / max(cameras.width, cameras.height))
    small = resize(cameras, max(1, round(cameras.width * shrink)), max(1, round(cameras.height * shrink)))
    picks = sorted({round(k) for k in np.linspace(0, len(cameras) - 1, PROBES)})
    drawn = [draw(small[pick], frozenset({"depth", "alpha"}), pick / len(cameras)) for pick in picks]
    return depth_limits([(one.depth, one.alpha) for one in drawn])


def pixels(
    drawn: Rendering, channel: Channel, limits: Limits | None = None, bits: int = 8, transparent: bool = False
) -> Pixels:
    """A channel as an image of 8 or 16 bits: [H, W, 3], or with ``transparent`` rgb as [H, W, 4].

    Args:
        transparent: rgb is weighted with alpha; the image's isn't, as PNG and VP9 have it.
    """
    value = getattr(drawn, channel)
    assert value is not None, f"a drawing of {channel} was asked for"
    if channel == "rgb":
        return quantised(straight(value, drawn.alpha) if transparent else value, bits)
    if channel == "alpha":
        return quantised(value[..., None].expand(-1, -1, 3), bits)
    image = depth_to_rgb(value, drawn.alpha, limits) if channel == "depth" else normal_to_rgb(value)
    return image if bits == 8 else image.astype(np.uint16) * 257


def straight(rgb: Tensor, alpha: Tensor | None) -> Tensor:
    """Colours weighted with alpha [H, W] as colours and alpha [H, W, 4]; black where nothing is."""
    assert alpha is not None
    weight = alpha[..., None]
    colors = torch.where(weight > 1e-4, rgb / weight.clamp_min(1e-4), 0).clamp(0, 1)
    return torch.cat([colors, weight], -1)


def quantised(values: Tensor, bits: int) -> Pixels:
    """Values in [0, 1] as steps of 1 / (2^bits - 1)."""
    steps = values.clamp(0, 1).mul_(2**bits - 1).round_()
    dtype = torch.uint8 if bits == 8 else torch.int32  # torch lacks much for uint16
    out: Pixels = steps.to(dtype).contiguous().cpu().numpy()
    return out if bits == 8 else out.astype(np.uint16)
