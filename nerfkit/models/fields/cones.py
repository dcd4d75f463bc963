"""Pixels' cones as normal distributions."""

from __future__ import annotations

from torch import Tensor

from nerfkit.contracts import Rays, Samples


def cone_moments(rays: Rays, samples: Samples, radii: Tensor) -> tuple[Tensor, Tensor]:
    """What lies in pixels' cones between the samples' ends (Barron et al. 2021, eq. 7, 8 and 16).

    Args:
        radii: [R] of the cones at distance 1.

    Returns:
        The means, from the samples' middles [S, 3], and the variances along the axes [S, 3].
    """
    index = samples.ray_index
    middle, half = (samples.t_start + samples.t_end) / 2, (samples.t_end - samples.t_start) / 2
    square, reach = half**2, (3 * middle**2 + half**2).clamp_min(1e-20)
    shift = 2 * middle * square / reach
    along = square / 3 - 4 / 15 * square**2 * (12 * middle**2 - square) / reach**2
    across = radii.index_select(0, index) ** 2 * (middle**2 / 4 + 5 / 12 * square - 4 / 15 * square**2 / reach)
    directions = rays.directions.index_select(0, index)
    axis = directions**2
    variance = along[:, None] * axis + across[:, None] * (1 - axis)
    return shift[:, None] * directions, variance.clamp_min(0)
