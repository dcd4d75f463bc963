"""What a model shows along a camera path, as images, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.cameras import resize
from nerfkit.contracts import Cameras, Channel, Rendering, SceneModel
from nerfkit.progress import ProgressSink, quiet
from nerfkit.views.color import Limits, depth_limits, depth_to_rgb, grey_to_rgb, normal_to_rgb, unit_to_uint8

Image = NDArray[np.uint8]  # [H, W, 3]

PROBES = 16  # frames that tell the depth's range beforehand
PROBE_SIDE = 256  # pixels, their longer side


def render_frames(
    model: SceneModel, cameras: Cameras, channels: Sequence[Channel] = ("rgb",), progress: ProgressSink = quiet
) -> Iterator[dict[Channel, Image]]:
    """The frames in order, each a dict with an image for every channel asked for.

    Nothing is kept: memory doesn't grow with the number of frames. Depth has one range of colors for all frames;
    a few small ones are drawn beforehand to find it. Normals are those of the scene frame.
    """
    needed: frozenset[Channel] = frozenset(channels) | ({"alpha"} if "depth" in channels else set())
    limits = probe_depth(model, cameras) if "depth" in channels else None
    for index in range(len(cameras)):
        with torch.no_grad():
            drawn = model.render(cameras[index], needed, progress)
        yield {channel: _image(drawn, channel, limits) for channel in channels}
        progress("frames", index + 1, len(cameras))


def probe_depth(model: SceneModel, cameras: Cameras) -> Limits:
    """The range of depth along a path, from PROBES small frames of it."""
    shrink = min(1.0, PROBE_SIDE / max(cameras.width, cameras.height))
    small = resize(cameras, max(1, round(cameras.width * shrink)), max(1, round(cameras.height * shrink)))
    picks = sorted({round(k) for k in np.linspace(0, len(cameras) - 1, PROBES)})
    needed: frozenset[Channel] = frozenset({"depth", "alpha"})
    with torch.no_grad():
        drawn = [model.render(small[pick], needed) for pick in picks]
    return depth_limits([(one.depth, one.alpha) for one in drawn])


def _image(drawn: Rendering, channel: Channel, limits: Limits | None) -> Image:
    value = getattr(drawn, channel)
    assert value is not None, f"render() was asked for {channel}"
    if channel == "depth":
        return depth_to_rgb(value, drawn.alpha, limits)
    if channel == "normal":
        return normal_to_rgb(value)
    return grey_to_rgb(value) if channel == "alpha" else unit_to_uint8(value)
