"""The order of Gaussians in a file: where each of a stream goes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from nerfkit.core.curve import morton_order
from nerfkit.splats.stream import Splats, gather

_ENOUGH = 100_000  # Gaussians tell how far they usually reach


def ranks(order: Tensor) -> Tensor:
    """The place of each row in an order of the rows [N]."""
    out = torch.empty_like(order)
    out[order] = torch.arange(len(order))
    return out


def morton_ranks(splats: Splats) -> tuple[Tensor, Extent]:
    """The place of each Gaussian along a Z-order curve [N], and how far they reach."""
    means = gather(splats, lambda g: g.means)
    return ranks(morton_order(means)), _extent(means)


@dataclass(frozen=True)
class Extent:
    """How far Gaussians reach, in their units."""

    farthest: float  # the largest coordinate of any, without its sign
    away: float  # the middle's largest coordinate, without its sign
    usual: float  # the median distance to the middle, along the axis where it is largest


def _extent(means: Tensor) -> Extent:
    if not len(means):
        return Extent(0.0, 0.0, 0.0)
    some = means[:: -(-len(means) // _ENOUGH)]
    middle = some.median(0).values
    usual = (some - middle).abs().median(0).values
    return Extent(max(float(means.amax()), -float(means.amin())), float(middle.abs().amax()), float(usual.amax()))
