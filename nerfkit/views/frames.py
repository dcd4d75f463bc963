"""The frames of a path, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from nerfkit.contracts import Cameras, Channel, Rendering, SceneModel
from nerfkit.progress import ProgressSink, quiet
from nerfkit.views.color import depth_range, depth_to_rgb, normal_to_rgb, rgb_to_uint8

Frame = dict[Channel, NDArray[np.uint8]]
_PROBES = 12  # cameras from which the range of a video's depth colours is taken


def render_frames(
    model: SceneModel, cameras: Sequence[Cameras] | Cameras, channels: Sequence[Channel], progress: ProgressSink = quiet
) -> Iterator[Frame]:
    """Renders cameras one by one: pictures [H, W, 3] uint8 by channel. Depth colours mean the same in all frames."""
    wanted: frozenset[Channel] = frozenset(channels)
    if "depth" in channels:
        wanted |= {"alpha"}
    span = _depth_span(model, cameras) if "depth" in channels else None
    for index in range(len(cameras)):
        drawn = model.render(cameras[index], wanted)
        yield {channel: _picture(drawn, channel, span) for channel in channels}
        progress("frames", index + 1, len(cameras))


def _depth_span(model: SceneModel, cameras: Sequence[Cameras] | Cameras) -> tuple[float, float]:
    step = max(1, len(cameras) // _PROBES)
    depths = []
    for index in range(0, len(cameras), step):
        depth = model.render(cameras[index], frozenset({"depth"})).depth
        assert depth is not None, "render() was asked for depth"
        depths.append(depth.flatten())
    return depth_range(torch.cat(depths))


def _picture(drawn: Rendering, channel: Channel, span: tuple[float, float] | None) -> NDArray[np.uint8]:
    values = getattr(drawn, channel)
    assert values is not None, f"render() was asked for {channel}"
    if channel == "depth":
        return depth_to_rgb(values, drawn.alpha, span)
    if channel == "normal":
        return normal_to_rgb(values)
    return rgb_to_uint8(values if channel == "rgb" else values[..., None].expand(-1, -1, 3))
