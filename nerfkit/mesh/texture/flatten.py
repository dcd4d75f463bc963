"""Flat charts brought to the surface's own size: as many units in the plane as on the surface, both ways."""

from __future__ import annotations

import numpy as np

_SLIVER = 1e-3  # height over base: thinner faces say nothing of a chart's proportions


def to_scale(points: np.ndarray, faces: np.ndarray, places: np.ndarray, chart: np.ndarray) -> np.ndarray:
    """Places [N, 2] of the charts' vertices, stretched along each axis so that areas and lengths are right on average.

    xatlas stretches charts to whole texels, and projects the flattest ones. Each chart's mean over its area of the
    squared gradient on the surface becomes 1, for u and for v: in a conformal chart that undoes the stretching exactly.

    Args:
        points: [N, 3] on the surface.
        faces: [F, 3].
        places: [N, 2].
        chart: [F] number of the chart of each face, from 0.
    """
    corners, flat = points.astype(np.float64)[faces], places.astype(np.float64)[faces]
    along, across = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    base = np.linalg.norm(along, axis=1)
    area = np.linalg.norm(np.cross(along, across), axis=1) / 2
    height = 2 * area / np.maximum(base, 1e-300)
    area = np.where(height > _SLIVER * base, area, 0)
    # gradients in each face's own frame: x along its first edge
    in_x = (flat[:, 1] - flat[:, 0]) / np.maximum(base, 1e-300)[:, None]
    foot = (across * along).sum(1) / np.maximum(base, 1e-300)
    in_y = (flat[:, 2] - flat[:, 0] - in_x * foot[:, None]) / np.maximum(height, 1e-300)[:, None]
    squared = np.where(area[:, None] > 0, in_x**2 + in_y**2, 0) * area[:, None]
    count = int(chart.max(initial=-1)) + 1
    total = np.bincount(chart, area, count)
    sums = np.stack([np.bincount(chart, squared[:, axis], count) for axis in range(2)], 1)
    mean = sums / np.maximum(total, 1e-300)[:, None]
    stretch = np.where(mean > 0, 1 / np.sqrt(np.maximum(mean, 1e-300)), 1)
    of_vertex = np.zeros(len(places), np.int64)
    of_vertex[faces.ravel()] = np.repeat(chart, 3)
    scaled: np.ndarray = places * stretch[of_vertex]
    return scaled
