"""What is no color, as color: depth and normals as images."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Limits = tuple[float, float]  # nearest and farthest depth that get a color of their own

SEEN = 0.5  # alpha from which a depth means something
SAMPLES = 20_000  # depths of an image that are looked at for its limits


def depth_to_rgb(depth: Any, alpha: Any = None, limits: Limits | None = None) -> Image:
    """Depth [H, W] in the turbo color map, [H, W, 3]: near is red, far is blue, nothing there is black.

    Colors go with 1 / depth, which tells near things apart and leaves room for a far background.

    Args:
        depth: z in scene units, a tensor or an array; 0 or not finite where nothing is seen.
        alpha: [H, W]; below SEEN nothing is seen.
        limits: the depths that get the outermost colors; those of this image by default. Give the same ones
            for every frame of a video.
    """
    import cv2

    values, seen = _seen(depth, alpha)
    near, far = limits or depth_limits([(depth, alpha)])
    with np.errstate(divide="ignore", invalid="ignore"):
        nearness = (1 / values - 1 / far) / max(1 / near - 1 / far, 1e-12)
    grey = np.where(seen, np.clip(nearness, 0, 1) * 255, 0).round().astype(np.uint8)
    colors = np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_TURBO), np.uint8)[..., ::-1]
    return np.ascontiguousarray(np.where(seen[..., None], colors, np.uint8(0)))


def depth_limits(images: Iterable[tuple[Any, Any]]) -> Limits:
    """The depths below and above which 2 % of all pixels seen lie, over pairs of depth and alpha (or None)."""
    samples = []
    for depth, alpha in images:
        values, seen = _seen(depth, alpha)
        found = values[seen]
        samples.append(found[:: max(1, len(found) // SAMPLES)])
    together = np.concatenate(samples) if samples else np.zeros(0)
    if len(together) == 0:
        return 1.0, 2.0
    near, far = (float(value) for value in np.quantile(together, [0.02, 0.98]))
    return near, max(far, near * (1 + 1e-6))


def normal_to_rgb(normal: Any) -> Image:
    """Unit normals [H, W, 3] as [H, W, 3]: each axis from -1 (0) to 1 (255); black where there is none."""
    values = _array(normal)
    seen = np.linalg.norm(values, axis=-1, keepdims=True) > 0.1
    return np.where(seen, ((values + 1) * 127.5).round().clip(0, 255), 0).astype(np.uint8)


def unit_to_uint8(values: Any) -> Image:
    """Values in [0, 1] as steps of 1/255."""
    return np.asarray((_array(values).clip(0, 1) * 255).round(), np.uint8)


def _seen(depth: Any, alpha: Any) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = _array(depth)
    seen = np.isfinite(values) & (values > 0)
    return values, seen if alpha is None else seen & (_array(alpha) > SEEN)


def _array(values: Any) -> NDArray[np.float64]:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values, np.float64)
