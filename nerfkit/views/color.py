"""From depth and normals to pictures."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def depth_range(depths: Tensor) -> tuple[float, float]:
    """A robust near and far (2nd and 98th percentile of what is there, i.e. > 0)."""
    seen = depths[depths > 0].flatten().float()
    if seen.numel() == 0:
        return 0.0, 1.0
    seen = seen[:: max(1, seen.numel() // 1_000_000)]
    near, far = torch.quantile(seen, torch.tensor([0.02, 0.98])).tolist()
    return near, max(far, near * 1.001 + 1e-9)


def depth_to_rgb(
    depth: Tensor, alpha: Tensor | None = None, span: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Depth [H, W] as a picture [H, W, 3]: near is warm, far is cold (turbo), nothing is black.

    Inverse depth is what is coloured: it is even over the picture. ``span`` (near, far) keeps the colours of a
    video's frames comparable; ``alpha`` [H, W] below a half counts as nothing.
    """
    import cv2

    near, far = span or depth_range(depth)
    nothing = depth <= 0 if alpha is None else (depth <= 0) | (alpha < 0.5)
    inverse = 1 / depth.clamp(max(near, 1e-6), far)
    level = (inverse - 1 / far) / max(1 / max(near, 1e-6) - 1 / far, 1e-12)
    gray = (level.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    picture = cv2.cvtColor(cv2.applyColorMap(gray, cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    picture[nothing.numpy()] = 0
    return np.ascontiguousarray(picture, dtype=np.uint8)


def normal_to_rgb(normal: Tensor) -> NDArray[np.uint8]:
    """Unit normals [H, W, 3] as a picture: -1..1 becomes 0..255; no normal is black."""
    picture = ((normal * 0.5 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    picture[normal.norm(dim=-1) < 0.5] = 0
    return picture.numpy()


def rgb_to_uint8(rgb: Tensor) -> NDArray[np.uint8]:
    """Colours [H, W, 3] in [0, 1] as a picture."""
    return (rgb.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
