"""The order of Gaussians in a file: where each of a stream goes."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.core.curve import morton_order
from nerfkit.splats.stream import Splats, gather


def ranks(order: Tensor) -> Tensor:
    """The place of each row in an order of the rows [N]."""
    out = torch.empty_like(order)
    out[order] = torch.arange(len(order))
    return out


def morton_ranks(splats: Splats) -> tuple[Tensor, float]:
    """The place of each Gaussian along a Z-order curve [N], and the farthest coordinate of any from the origin."""
    means = gather(splats, lambda g: g.means)
    farthest = max(float(means.amax()), -float(means.amin())) if len(means) else 0.0
    return ranks(morton_order(means)), farthest
