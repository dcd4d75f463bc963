"""The field of the NGP model: hash encoding, density network, colour network."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Rays, RenderCore
from nerfkit.core.hash_grid import HashGrid
from nerfkit.models.fields.appearance import Appearance
from nerfkit.models.fields.networks import HashNetwork, exp_density, uniform_weights
from nerfkit.models.fields.space import Space
from nerfkit.models.ngp.config import Config

_GEOMETRY = 16  # outputs of the density network; the first is the logarithm of density


class NgpField:
    """Müller et al. 2022, section 4 and figure 3, with its parameters as leaves."""

    cones = False

    def __init__(
        self, config: Config, space: Space, photos: int, core: RenderCore, rng: torch.Generator,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        """Args: photos: that are trained on."""
        self.space, self.core, self.sh_degree = space, core, config.sh_degree
        assert config.log2_size is not None and config.finest is not None and config.width is not None
        width = config.width
        grid = HashGrid(config.levels, config.features, config.log2_size, config.coarsest, config.finest)
        self.appearance = Appearance(photos, config.appearance, device)
        directions = (config.sh_degree + 1) ** 2 + config.appearance
        self.color_widths = (_GEOMETRY + directions, *[width] * config.color_layers, 3)
        self.sample_bytes = 4 * (2 * grid.width + 3 * _GEOMETRY)
        self.network = HashNetwork(space, core, grid, (width, _GEOMETRY), rng, device)
        self.params = {
            **self.network.params,
            "color": uniform_weights(self.color_widths, rng).to(device).requires_grad_(),
            **self.appearance.params,
        }

    def density(self, xyz_local: Tensor, variance: Tensor | None = None) -> Tensor:
        return self._density_of(self.network(xyz_local))

    def shade(
        self, xyz_local: Tensor, rays: Rays, ray_index: Tensor, variance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        geometry = self.network(xyz_local)
        of_ray = self.appearance.beside(self.core.sh_encode(rays.directions, self.sh_degree), rays)
        colors = self.core.mlp(geometry, self.params["color"], self.color_widths, of_ray, ray_index, output="sigmoid")
        return self._density_of(geometry), colors

    def _density_of(self, geometry: Tensor) -> Tensor:
        return exp_density(geometry, self.space, self.core)
