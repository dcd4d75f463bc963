"""What small networks of fields share: how their weights begin, and how their outputs become densities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from nerfkit.contracts import RenderCore
from nerfkit.core.hash_grid import HashGrid
from nerfkit.models.fields.space import Space

_LARGEST_LOG = 12.0


class HashNetwork:
    """A hash grid over a space, and the network behind it (Müller et al. 2022, figure 3), with parameters as leaves."""

    def __init__(
        self, space: Space, core: RenderCore, grid: HashGrid, widths: Sequence[int], rng: torch.Generator,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        """Args: widths: of what lies behind each layer; the last are the outputs."""
        self.space, self.core, self.grid = space, core, grid
        self.widths = (grid.width, *widths)
        self.params = {
            "table": grid.first_table(rng).to(device).requires_grad_(),
            "density": uniform_weights(self.widths, rng).to(device).requires_grad_(),
        }

    def __call__(self, xyz_local: Tensor) -> Tensor:
        """Outputs [P, widths[-1]] at local points [P, 3]."""
        features = self.core.hash_encode(self.space.to_cube(xyz_local, self.core), self.params["table"], self.grid)
        return self.core.mlp(features, self.params["density"], self.widths)


def uniform_weights(widths: Sequence[int], rng: torch.Generator) -> Tensor:
    """Matrices uniform in ``+-sqrt(6 / (in + out))`` (Glorot & Bengio 2010, eq. 16), flat."""
    layers = []
    for before, after in pairwise(widths):
        bound = (6 / (before + after)) ** 0.5
        layers.append((torch.rand(before * after, generator=rng) * 2 - 1) * bound)
    return torch.cat(layers)


def exp_density(outputs: Tensor, space: Space, core: RenderCore) -> Tensor:
    """``exp`` of a network's first output [P, K], per half side of the space: the same for scenes of any size."""
    return core.exp_density(outputs, space.first_log_density, _LARGEST_LOG, space.half)
