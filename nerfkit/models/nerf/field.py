"""The field of the NeRF model: positional encoding, and the network behind it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from nerfkit.contracts import Rays, RenderCore
from nerfkit.models.fields.appearance import Appearance
from nerfkit.models.fields.networks import exp_density
from nerfkit.models.fields.space import Space
from nerfkit.models.nerf.config import Config
from nerfkit.models.nerf.networks import Network, SmallNetwork, WideNetwork


class NerfField:
    """Mildenhall et al. 2020, sections 3 and 5.1, with its parameters as leaves."""

    def __init__(
        self, config: Config, space: Space, photos: int, core: RenderCore, step: float, rng: torch.Generator,
        device: torch.device | str = "cpu",
    ):  # fmt: skip
        """Args: photos: that are trained on. step: a sample's usual length, which a point has with ``antialias``."""
        assert config.frequencies is not None and config.activation is not None
        self.space, self.core, self.step = space, core, step
        self.frequencies, self.direction_frequencies = config.frequencies, config.direction_frequencies
        self.activation, self.raw_noise, self.cones = config.activation, config.raw_noise, config.antialias
        self.appearance = Appearance(photos, config.appearance, device)
        widths = 3 + 6 * config.frequencies, 3 + 6 * config.direction_frequencies + config.appearance
        self.network: Network = (
            WideNetwork(*widths, config, rng, device)
            if config.preset == "paper"
            else SmallNetwork(*widths, config, core, rng, device)
        )
        self.params = self.network.params | self.appearance.params
        self.sample_bytes = 4 * 2 * widths[0] + self.network.sample_bytes

    def density(self, xyz_local: Tensor, variance: Tensor | None = None) -> Tensor:
        return self._density_of(self.network.hidden(self._encode(xyz_local, variance)))[: len(xyz_local)]

    def shade(
        self, xyz_local: Tensor, rays: Rays, ray_index: Tensor, variance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        hidden = self.network.hidden(self._encode(xyz_local, variance))
        of_ray = self.appearance.beside(self.core.frequency_encode(rays.directions, self.direction_frequencies), rays)
        density, color = self._density_of(hidden), self.network.color(hidden, of_ray, ray_index)
        return density[: len(xyz_local)], color[: len(xyz_local)]

    def _encode(self, xyz_local: Tensor, variance: Tensor | None) -> Tensor:
        if not self.cones:
            return self.core.frequency_encode(self._scaled(xyz_local), self.frequencies)
        if variance is None:  # the network has never seen the high frequencies of what has no extent
            variance = torch.full_like(xyz_local, self.step**2 / 12)
        variance = variance * scale_of(self.space, xyz_local) ** 2
        return self.core.frequency_encode(self._scaled(xyz_local), self.frequencies, variance)

    def _scaled(self, xyz_local: Tensor) -> Tensor:
        """Local points to [-1, 1]^3."""
        return self.space.to_cube(xyz_local, self.core, -1.0, 1.0)

    def _density_of(self, hidden: Tensor) -> Tensor:
        """In units of the space's half side: the same for scenes of any size."""
        raw = self.network.density(hidden)
        if self.raw_noise > 0 and torch.is_grad_enabled():
            raw = raw + self.raw_noise * torch.randn(raw.shape, device=raw.device)
        if self.activation == "relu":
            density = raw.relu()
        elif self.activation == "softplus":
            density = functional.softplus(raw)
        else:
            return exp_density(raw[:, None], self.space, self.core)
        return density / self.space.half


def scale_of(space: Space, xyz_local: Tensor) -> Tensor:
    """How much longer things get, along each axis, on their way to [-1, 1]^3: [P, 3]; shears are left out."""
    if not space.contracted:
        return torch.full_like(xyz_local, 1 / space.half)
    x = (xyz_local / space.half).abs()
    size = x.amax(1, keepdim=True).clamp_min(1)
    return torch.where(x >= size, 1 / size**2, (2 - 1 / size) / size) / (2 * space.half)
