"""The networks of the NeRF model."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from nerfkit.contracts import RenderCore
from nerfkit.core.dense import dense, has_bf16
from nerfkit.models.fields.networks import uniform_weights
from nerfkit.models.nerf.config import Config

GEOMETRY = 16  # outputs of the small density network; the first is the raw density


class Network(Protocol):
    """From encoded points to what is known of them, and from there to raw density and colour.

    It may put rows behind those it is given, and give back as many: only the first ones mean anything.
    """

    params: dict[str, Tensor]
    sample_bytes: int  # that training keeps of a sample

    def hidden(self, points: Tensor) -> Tensor: ...

    def density(self, hidden: Tensor) -> Tensor:
        """[S], any sign."""
        ...

    def color(self, hidden: Tensor, of_ray: Tensor, ray_index: Tensor) -> Tensor:
        """[S, 3] in [0, 1]; what is told of rays [R, D] goes with the samples of each."""
        ...


class WideNetwork:
    """The original network (Mildenhall et al. 2020, figure 7): layers with biases, the point joined again halfway."""

    def __init__(
        self, points: int, directions: int, config: Config, rng: torch.Generator, device: torch.device | str = "cpu"
    ):
        """Args: points, directions: widths of what is told of each."""
        assert config.depth is not None and config.width is not None
        width = config.width
        self.depth = config.depth
        self.skip = config.skip if 0 < config.skip < config.depth else 0
        self.bf16 = has_bf16(str(device)) if config.bf16 is None else config.bf16
        layers = {"layer_0": (points, width)}
        for index in range(1, self.depth):
            layers[f"layer_{index}"] = (width + (points if index == self.skip else 0), width)
        layers["density"] = (width, 1)
        layers["feature"] = (width, width)
        layers["direction"] = (width + directions, width // 2)
        layers["color"] = (width // 2, 3)
        # Of each layer its input and output, its output's gradient, and copies on the way.
        self.sample_bytes = (3 if self.bf16 else 4) * sum(before + 3 * after for before, after in layers.values())
        self.params: dict[str, Tensor] = {}
        for name, (before, after) in layers.items():
            weight = uniform_weights((before, after), rng).view(after, before)
            self.params[f"{name}.weight"] = weight.to(device).requires_grad_()
            self.params[f"{name}.bias"] = torch.zeros(after, device=device).requires_grad_()

    def hidden(self, points: Tensor) -> Tensor:
        points = _in_few_sizes(points)
        hidden = points
        for index in range(self.depth):
            if index and index == self.skip:
                hidden = torch.cat([points.to(hidden.dtype), hidden], 1)
            hidden = self._layer(f"layer_{index}", hidden).relu()
        return hidden

    def density(self, hidden: Tensor) -> Tensor:
        return self._layer("density", hidden)[:, 0].float()

    def color(self, hidden: Tensor, of_ray: Tensor, ray_index: Tensor) -> Tensor:
        feature = self._layer("feature", hidden)
        directions = _in_few_sizes(of_ray.to(feature.dtype)[ray_index])
        seen = self._layer("direction", torch.cat([feature, directions], 1)).relu()
        return torch.sigmoid(self._layer("color", seen).float())

    def _layer(self, name: str, input: Tensor) -> Tensor:
        return dense(input, self.params[f"{name}.weight"], self.params[f"{name}.bias"], self.bf16)


def _in_few_sizes(rows: Tensor) -> Tensor:
    """Rows [S, W] and zeros behind them, so that S is one of eight numbers between two powers of two.

    oneDNN compiles its bfloat16 products for each size anew and keeps them: hundreds of megabytes for batches that
    are never of one size.
    """
    step = 1 << max(len(rows).bit_length() - 4, 6)
    return torch.nn.functional.pad(rows, (0, 0, 0, -len(rows) % step))


class SmallNetwork:
    """Two of the core's fused networks, without biases: the encoding's cosines, 1 at the centre, stand in for them."""

    def __init__(
        self, points: int, directions: int, config: Config, core: RenderCore, rng: torch.Generator,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        assert config.depth is not None and config.width is not None
        self.core = core
        self.density_widths = (points, *[config.width] * config.depth, GEOMETRY)
        self.color_widths = (GEOMETRY + directions, config.width, 3)
        self.sample_bytes = 4 * 3 * GEOMETRY  # the core computes what lies between anew
        self.params = {
            name: uniform_weights(widths, rng).to(device).requires_grad_()
            for name, widths in (("density", self.density_widths), ("color", self.color_widths))
        }

    def hidden(self, points: Tensor) -> Tensor:
        return self.core.mlp(points, self.params["density"], self.density_widths)

    def density(self, hidden: Tensor) -> Tensor:
        return hidden[:, 0]

    def color(self, hidden: Tensor, of_ray: Tensor, ray_index: Tensor) -> Tensor:
        return self.core.mlp(hidden, self.params["color"], self.color_widths, of_ray, ray_index, output="sigmoid")
