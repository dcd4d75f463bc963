"""What can be done to splats without a model: crop, clean, move."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from nerfkit.contracts import Gaussians
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.splats.blocks import blocks
from nerfkit.splats.stream import Splats, gather, picked

FAINTEST = 1 / 255  # opacity below which no 8-bit picture shows a Gaussian
_NEIGHBORS = 4
_LONELY = 8.0  # times the usual distance to the neighbours
_HUGE = 0.5  # of the scene's radius: standard deviation along the longest axis
_MIDDLE = 0.9  # of the Gaussians tell how large the scene is


def crop_box(splats: Splats, corners: Sequence[float]) -> tuple[Splats, int]:
    """Those whose centres lie within the box of two corners, ``x0 y0 z0 x1 y1 z1`` in any order; how many do not."""
    ends = torch.tensor(corners, dtype=torch.float64).reshape(2, 3)
    low, high = ends.amin(0), ends.amax(0)
    return _cropped(splats, lambda g: ((g.means >= low) & (g.means <= high)).all(1))


def crop_sphere(splats: Splats, sphere: Sequence[float]) -> tuple[Splats, int]:
    """Those whose centres lie within the sphere ``x y z radius``; how many do not."""
    center = torch.tensor(sphere[:3], dtype=torch.float64)
    return _cropped(splats, lambda g: (g.means - center).norm(dim=1) <= sphere[3])


def _cropped(splats: Splats, within: Callable[[Gaussians], Tensor]) -> tuple[Splats, int]:
    mask = gather(splats, within)
    kept = picked(splats, mask)
    return kept, len(mask) - kept.most


def clean(splats: Splats) -> tuple[Splats, dict[str, int]]:
    """Leaves out floaters; gives what is left, and how many were ``transparent``, ``huge`` and ``isolated``.

    Transparent: of an opacity that no 8-bit picture shows. Huge: a standard deviation above half of the radius of
    the scene (of the 90 % nearest to its median), beside an opacity below 0.5: haze, where opaque ones are sky and
    walls. Isolated: the fourth-nearest neighbour is more than 8 times as far as usual, and as the Gaussian is large.
    """
    columns = gather(splats, lambda g: torch.cat([g.means, g.scales.amax(1, keepdim=True), g.opacities[:, None]], 1))
    means, sizes, opacities = columns[:, :3], columns[:, 3], columns[:, 4]
    transparent = opacities < FAINTEST
    huge = ~transparent & (sizes > _HUGE * _radius(means)) & (opacities < 0.5)
    kept = ~(transparent | huge)
    isolated = torch.zeros_like(kept)
    isolated[kept] = _isolated(means[kept], sizes[kept])
    counts = {"transparent": transparent, "huge": huge, "isolated": isolated}
    return picked(splats, kept & ~isolated), {name: int(rows.sum()) for name, rows in counts.items()}


def _radius(means: Tensor) -> float:
    if not len(means):
        return 0.0
    distance = (means - means.median(0).values).norm(dim=1)
    return float(distance.kthvalue(max(1, math.ceil(_MIDDLE * len(distance)))).values)


def _isolated(means: Tensor, sizes: Tensor) -> Tensor:
    from scipy.spatial import cKDTree

    if len(means) <= _NEIGHBORS:
        return torch.zeros(len(means), dtype=torch.bool)
    points = means.double().numpy()
    tree = cKDTree(points)
    far = np.empty(len(points))
    for rows in blocks(len(points)):
        far[rows] = tree.query(points[rows], _NEIGHBORS + 1, workers=-1)[0][:, -1]
    distance = torch.from_numpy(far)
    return distance > _LONELY * torch.maximum(distance.median(), sizes.double())


def similarity(rotate: tuple[float, float, float], translate: tuple[float, float, float], scale: float) -> Similarity:
    """Turns about the fixed axes x, then y, then z (degrees), scales about the origin, then moves.

    Raises:
        NerfkitError: a scale that is not above zero, or numbers that are not finite.
    """
    if not 0 < scale < math.inf:
        raise NerfkitError(f"--scale {scale:g}: must be above 0, and finite")
    for name, numbers in (("rotate", rotate), ("translate", translate)):
        if not all(map(math.isfinite, numbers)):
            raise NerfkitError(f"--{name} {' '.join(f'{number:g}' for number in numbers)}: must be finite")
    turn = torch.eye(3, dtype=torch.float64)
    for axis, angle in enumerate(map(math.radians, rotate)):
        one = torch.eye(3, dtype=torch.float64)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        one[a, a] = one[b, b] = math.cos(angle)
        one[b, a], one[a, b] = math.sin(angle), -math.sin(angle)
        turn = one @ turn
    return Similarity(scale, turn, torch.tensor(translate, dtype=torch.float64))
