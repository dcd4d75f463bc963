"""A part of a field."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from nerfkit.contracts import Rays
from nerfkit.models.fields.draw import Field
from nerfkit.models.fields.space import Space


class Cropped:
    """A field with nothing where points of the scene are not ``inside``: [P, 3] -> [P] bool."""

    def __init__(self, field: Field, space: Space, inside: Callable[[Tensor], Tensor]):
        self.field, self.space, self.inside = field, space, inside
        self.sample_bytes, self.cones = field.sample_bytes, field.cones

    def density(self, xyz_local: Tensor, variance: Tensor | None = None) -> Tensor:
        return self._kept(xyz_local, self.field.density(xyz_local, variance))

    def shade(
        self, xyz_local: Tensor, rays: Rays, ray_index: Tensor, variance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        density, colors = self.field.shade(xyz_local, rays, ray_index, variance)
        return self._kept(xyz_local, density), colors

    def _kept(self, xyz_local: Tensor, density: Tensor) -> Tensor:
        return torch.where(self.inside(self.space.scene(xyz_local)), density, 0)
