"""The networks of the NeRF model."""

from __future__ import annotations

from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from nerfkit.contracts import RenderCore
from nerfkit.core.dense import dense, has_bf16
from nerfkit.models.nerf.config import Config

GEOMETRY = 16  # outputs of the small density network; the first is the raw density


class Network(Protocol):
    """From encoded points to what is known of them, and from there to raw density and raw colour."""

    params: dict[str, Tensor]

    def hidden(self, points: Tensor) -> Tensor: ...

    def density(self, hidden: Tensor) -> Tensor:
        """[S], any sign."""
        ...

    def color(self, hidden: Tensor, directions: Tensor) -> Tensor:
        """[S, 3], any sign."""
        ...


class WideNetwork:
    """The original network (Mildenhall et al. 2020, figure 7): layers with biases, the point joined again halfway."""

    def __init__(self, points: int, directions: int, config: Config, rng: torch.Generator):
        """Args: points, directions: widths of what is told of each."""
        assert config.depth is not None and config.width is not None
        width = config.width
        self.depth = config.depth
        self.skip = config.skip if 0 < config.skip < config.depth else 0
        self.bf16 = has_bf16() if config.bf16 is None else config.bf16
        layers = {"layer_0": (points, width)}
        for index in range(1, self.depth):
            layers[f"layer_{index}"] = (width + (points if index == self.skip else 0), width)
        layers["density"] = (width, 1)
        layers["feature"] = (width, width)
        layers["direction"] = (width + directions, width // 2)
        layers["color"] = (width // 2, 3)
        self.params: dict[str, Tensor] = {}
        for name, (before, after) in layers.items():
            self.params[f"{name}.weight"] = _glorot(before, after, rng).view(after, before).requires_grad_()
            self.params[f"{name}.bias"] = torch.zeros(after).requires_grad_()

    def hidden(self, points: Tensor) -> Tensor:
        hidden = points
        for index in range(self.depth):
            if index and index == self.skip:
                hidden = torch.cat([points.to(hidden.dtype), hidden], 1)
            hidden = self._layer(f"layer_{index}", hidden).relu()
        return hidden

    def density(self, hidden: Tensor) -> Tensor:
        return self._layer("density", hidden)[:, 0].float()

    def color(self, hidden: Tensor, directions: Tensor) -> Tensor:
        feature = self._layer("feature", hidden)
        seen = self._layer("direction", torch.cat([feature, directions.to(feature.dtype)], 1)).relu()
        return self._layer("color", seen).float()

    def _layer(self, name: str, input: Tensor) -> Tensor:
        return dense(input, self.params[f"{name}.weight"], self.params[f"{name}.bias"], self.bf16)


class SmallNetwork:
    """Two of the core's fused networks, without biases: the encoding's cosines, 1 at the centre, stand in for them."""

    def __init__(self, points: int, directions: int, config: Config, core: RenderCore, rng: torch.Generator):
        assert config.depth is not None and config.width is not None
        self.core = core
        self.density_widths = (points, *[config.width] * config.depth, GEOMETRY)
        self.color_widths = (GEOMETRY + directions, config.width, 3)
        self.params = {
            name: torch.cat([_glorot(before, after, rng) for before, after in pairwise(widths)]).requires_grad_()
            for name, widths in (("density", self.density_widths), ("color", self.color_widths))
        }

    def hidden(self, points: Tensor) -> Tensor:
        return self.core.mlp(points, self.params["density"], self.density_widths)

    def density(self, hidden: Tensor) -> Tensor:
        return hidden[:, 0]

    def color(self, hidden: Tensor, directions: Tensor) -> Tensor:
        return self.core.mlp(torch.cat([hidden, directions], 1), self.params["color"], self.color_widths)


def _glorot(before: int, after: int, rng: torch.Generator) -> Tensor:
    """A matrix uniform in ``+-sqrt(6 / (in + out))`` (Glorot & Bengio 2010, eq. 16), flat."""
    return (torch.rand(before * after, generator=rng) * 2 - 1) * (6 / (before + after)) ** 0.5
