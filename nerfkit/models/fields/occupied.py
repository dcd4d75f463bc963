"""The occupancy grid of a field that is being trained."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nerfkit.core.occupancy import Occupancy
from nerfkit.models.devices import generator_on
from nerfkit.models.fields.space import Space

_DECAY = 0.95
_OPACITY_MIN = 0.01  # of a step through a cell that counts as occupied; or the mean of all cells, if that is less…
_OPACITY_SOLID = 0.1  # of a step through a cell that may hold a part of a surface
_SOLID_LOOKS = 4  # at random points of a cell
_OPACITY_NONE = 1e-4  # …but so thin a mist is nothing

log = logging.getLogger("nerfkit")


class OccupiedSpace:
    """What is known of the density of each cell, and the bits that rays are marched by.

    A cell keeps the largest opacity of a step that was seen in it, which fades each time it is looked at again
    (Müller et al. 2022, appendix E.2): the maximum, since a mean would lose thin things.
    """

    def __init__(self, space: Space, possible: Tensor, step: float):
        """Args: possible: [K, G, G, G] bool, cells that may be occupied. step: along a ray, scene units."""
        self.space, self.step = space, step
        self.possible = possible  # [K, G, G, G]: cells that photos rule out stay empty
        self.cells = possible.flatten().nonzero()[:, 0]  # of all levels, [M]
        self.opacities = torch.zeros(len(self.cells), device=possible.device)
        self.grid = Occupancy.pack(possible, space.half)
        self.looks = 0

    def refresh(self, density: Callable[[Tensor], Tensor], most: int, rng: torch.Generator) -> None:
        """Looks at up to ``most`` cells: half of them any, half of them occupied; all at first.

        Args:
            density: of local points [P, 3], per scene unit.
        """
        rng = generator_on(self.cells.device, rng)
        chosen = self._choose(most, rng)
        self.looks += 1
        found = torch.empty(len(chosen), device=chosen.device)
        for part in range(0, len(chosen), 1 << 18):  # in pieces: a field takes about a kilobyte a point
            piece = slice(part, part + (1 << 18))
            found[piece] = density(self._points(self.cells[chosen[piece]], rng))
        found = 1 - torch.exp(-found * self.step)
        self.opacities[chosen] = torch.maximum(self.opacities[chosen] * _DECAY, found)
        self._pack()

    def _choose(self, most: int, rng: torch.Generator) -> Tensor:
        if len(self.cells) <= most or self.looks == 0:
            return torch.arange(len(self.cells), device=self.cells.device)

        def some_of(count: int) -> Tensor:
            return torch.randint(count, (most // 2,), generator=rng, device=self.cells.device)

        any_of_them = some_of(len(self.cells))
        occupied = (self.opacities > self._threshold()).nonzero()[:, 0]
        if len(occupied) == 0:
            return any_of_them
        again = occupied[some_of(len(occupied))]
        return torch.cat([any_of_them, again]).unique()

    def _points(self, cells: Tensor, rng: torch.Generator) -> Tensor:
        """A random point in each of the cells: [P, 3], local."""
        side = self.possible.shape[1]
        level = cells // side**3
        index = torch.stack([cells % side, cells // side % side, cells // side**2 % side], 1)
        half = self.space.half * 2.0 ** level[:, None]
        within = torch.rand(len(cells), 3, generator=rng, device=cells.device)
        return ((index + within) / side * 2 - 1) * half

    def _threshold(self) -> Tensor:
        return self.opacities.mean().clamp(_OPACITY_NONE, _OPACITY_MIN)

    def _pack(self) -> None:
        occupied = torch.zeros(self.possible.numel(), dtype=torch.bool, device=self.possible.device)
        occupied[self.cells] = self.opacities > self._threshold()
        if not bool(occupied.any()):
            log.warning("the field is empty everywhere; looking at all of space again")
            occupied[self.cells] = True
        # In its place: recorded steps look there.
        self.grid.bits.copy_(Occupancy.pack(occupied.view(self.possible.shape), self.space.half).bits)

    def solid(self, density: Callable[[Tensor], Tensor], rng: torch.Generator) -> Occupancy:
        """The occupied cells in which there is more than mist, by a look at each: what depth is drawn by.

        What is known from training also holds what was there long ago, and mist that photos don't tell from nothing.
        """
        occupied = self.grid.unpack().flatten().nonzero()[:, 0]
        found = torch.zeros(len(occupied), device=occupied.device)
        rng = generator_on(occupied.device, rng)
        for part in range(0, len(occupied), 1 << 18):
            piece = slice(part, part + (1 << 18))
            for _ in range(_SOLID_LOOKS):
                seen = -torch.expm1(-density(self._points(occupied[piece], rng)) * self.step)
                found[piece] = torch.maximum(found[piece], seen)
        solid = torch.zeros(self.possible.numel(), dtype=torch.bool, device=occupied.device)
        solid[occupied] = found > _OPACITY_SOLID
        if not bool(solid.any()):  # all of it is mist
            return self.grid
        return Occupancy.pack(solid.view(self.possible.shape), self.space.half)

    @property
    def empty(self) -> bool:
        return not bool(self.grid.bits.any())

    def state_dict(self) -> dict[str, Any]:
        return {"cells": self.cells, "opacities": self.opacities, "bits": self.grid.bits, "looks": self.looks}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        device = self.possible.device
        self.cells, self.opacities = (state[name].to(device, copy=True) for name in ("cells", "opacities"))
        self.looks = int(state["looks"])
        self.grid.bits.copy_(state["bits"])
