"""What small networks of fields share: how their weights begin, and how their outputs become densities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from nerfkit.models.fields.space import Space

_LARGEST_LOG = 12.0


def uniform_weights(widths: Sequence[int], rng: torch.Generator) -> Tensor:
    """Matrices uniform in ``+-sqrt(6 / (in + out))`` (Glorot & Bengio 2010, eq. 16), flat."""
    layers = []
    for before, after in pairwise(widths):
        bound = (6 / (before + after)) ** 0.5
        layers.append((torch.rand(before * after, generator=rng) * 2 - 1) * bound)
    return torch.cat(layers)


def exp_density(log: Tensor, space: Space) -> Tensor:
    """``exp`` of what a network gives, in units of the space's half side: the same for scenes of any size."""
    return (log + space.first_log_density).clamp_max(_LARGEST_LOG).exp() / space.half
