"""From how far splats are looked at that come without any cameras."""

from __future__ import annotations

import math

from torch import Tensor

_NEAR = 1.3  # distances of the median Gaussian from the middle: before what a scene is about, within its walls
_ALONE, _AROUND = 1.5, 1.9  # how far 90 % of the Gaussians reach, of what half of them do: an object; a scene around it
_SPACE = 1.05  # around an object that is seen as a whole


def middle(means: Tensor) -> tuple[Tensor, float]:
    """The median of the means [N, 3], [3] doubles, and the radius about it that half of them are within, above 0."""
    center, distance = _apart(means)
    return center, float(distance.kthvalue(max(1, math.ceil(len(distance) / 2))).values) or 1.0


def vantage(means: Tensor, half_angle: float) -> tuple[Tensor, float]:
    """The middle of Gaussians, and how far from there a camera shows what they are about.

    An object that stands alone is seen as a whole. Around that of a scene there is more, often denser and walls
    behind which nothing is seen: the camera stays before its middle half. In between the distance grows evenly, by
    how far the outer Gaussians are.

    Args:
        means: [N, 3], N > 0, all finite.
        half_angle: between the camera's axis and the nearest edge of its picture, in radians.

    Returns:
        the median of the means, [3] doubles, and the distance, in their unit and above 0.
    """
    center, distance = _apart(means)
    far = distance.sort().values
    half, most, whole = (float(far[min(int(part * len(far)), len(far) - 1)]) for part in (0.5, 0.9, 0.99))
    if half <= 0:
        return center, whole / math.sin(half_angle) or 1.0
    near, outside = _NEAR * half, _SPACE * whole / math.sin(half_angle)
    share = min(max((most / half - _ALONE) / (_AROUND - _ALONE), 0.0), 1.0)
    return center, outside ** (1 - share) * near**share


def _apart(means: Tensor) -> tuple[Tensor, Tensor]:
    """The median of the means [3], and how far from it each of them is [N]."""
    center = means.double().median(0).values
    return center, (means.double() - center).norm(dim=1)
