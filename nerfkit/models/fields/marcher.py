"""Samples by marching through an occupancy grid (Müller et al. 2022, appendix E)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nerfkit.contracts import Rays, RenderCore, Samples
from nerfkit.core.occupancy import Steps
from nerfkit.core.packing import SPARE, are_whole, first_spare, fitted, used_of, with_spares
from nerfkit.models.devices import generator_on
from nerfkit.models.fields.draw import Drawn, Field, Found, Room, composite, opacities
from nerfkit.models.fields.intervals import Scale
from nerfkit.models.fields.occupied import OccupiedSpace
from nerfkit.models.fields.rounds import in_rounds
from nerfkit.models.fields.space import Space

_LOOK_EVERY = 16  # training steps
_FIRST_LOOK = 128  # where photos rule nothing out: earlier, what is there can't be told from the first mist
_CELLS_AT_ONCE = 1 << 18
_DARK = 1 / 2048  # of the light: what is behind changes no picture of 8 bits
_CONE = 1 / 256  # step over distance, where space has no end


class Marcher:
    """Marches rays; what nothing can be seen of is not shaded."""

    looks_ahead = True
    usual_distortion = 0.0
    kind_of_step = "marched"

    def __init__(self, space: Space, possible: Tensor, core: RenderCore, samples: int, near: float):
        """Args: possible: [K, G, G, G] bool, cells that may hold something. samples: along the cube's diagonal."""
        least = 2 * space.half * 3**0.5 / samples
        self.space, self.core, self.near, self.usual_samples = space, core, near, samples
        self.scale = Scale(space.half, space.contracted)
        self.steps = Steps(least, least * 2**space.cascades, _CONE if space.contracted else 0.0)
        self.occupied = OccupiedSpace(space, possible, least)  # on the device of the possible cells
        self.first_look = _FIRST_LOOK if space.contracted else _LOOK_EVERY
        self.count = 0  # training steps

    def draw(
        self, field: Field, rays_local: Rays, rng: torch.Generator | None = None, room: Room | None = None
    ) -> list[Drawn]:
        if rng is None:
            samples, alphas = in_rounds(self, field, rays_local, _DARK)
            return [composite(field, rays_local, self._seen(samples, alphas), self.core, len(alphas))]
        device = rays_local.origins.device
        jitter = torch.rand(len(rays_local.origins), generator=generator_on(device, rng), device=device)
        ranges = self.space.ranges(rays_local, self.near, self.core)
        if room is not None:
            return [self._draw_in(room, field, rays_local, ranges, jitter)]
        samples = self.core.march(rays_local, ranges, jitter, self.occupied.grid, self.steps)
        looked_at = len(samples.t_start)
        with torch.no_grad():
            alphas = opacities(field, rays_local, samples, self.core)
            samples = self._seen(samples, alphas)
        return [composite(field, rays_local, samples, self.core, looked_at)]

    def _draw_in(self, room: Room, field: Field, rays: Rays, ranges: Tensor, jitter: Tensor) -> Drawn:
        """The same in arrays of fixed sizes, and without a wait: what is left of them is samples of spare rays."""
        count, pad = len(jitter), torch.nn.functional.pad
        rays, ranges, jitter = with_spares(rays), pad(ranges, (0, 0, 0, SPARE)), pad(jitter, (0, SPARE))
        marched = self.core.march(rays, ranges, jitter, self.occupied.grid, self.steps, room.looked_at)
        with torch.no_grad():
            samples = self._seen(marched, opacities(field, rays, marched, self.core), room.shaded)
        whole = are_whole(marched.offsets, room.looked_at) & are_whole(samples.offsets, room.shaded)
        drawn = composite(field, rays, samples, self.core)
        found = Found(used_of(marched.offsets), used_of(samples.offsets), whole)
        return Drawn(drawn.rgb[:count], drawn.transmittance[:count], drawn.weights, samples, found=found)

    def _seen(self, samples: Samples, alphas: Tensor, room: int | None = None) -> Samples:
        """The samples that have a weight: those behind the point where a ray is full have none."""
        _, _, weights = self.core.composite(alphas, alphas[:, None], samples.offsets)
        has_weight = weights > 0
        running = torch.nn.functional.pad(has_weight.cumsum(0, dtype=torch.int32), (1, 0))
        offsets = running[samples.offsets.long()]
        arrays = samples.t_start, samples.t_end, samples.ray_index
        if room is None:
            places = has_weight.nonzero()[:, 0]
            start, end, ray = (of.index_select(0, places) for of in arrays)
            return Samples(start, end, offsets, ray)
        places = running[:-1].long().masked_fill(~has_weight, room).clamp_max(room)  # the last is for what has none
        start, end, ray = (
            of.new_full((room + 1,), value).scatter_(0, places, of)[:room]
            for of, value in zip(arrays, (0, 0, first_spare(offsets)), strict=True)
        )
        return Samples(start, end, fitted(offsets, room), ray)

    @torch.no_grad()
    def after_step(self, field: Field, rng: torch.Generator) -> None:
        self.count += 1
        if self.count % _LOOK_EVERY == 0 and self.count >= self.first_look:
            self.occupied.refresh(field.density, _CELLS_AT_ONCE, rng)

    @torch.no_grad()
    def for_surfaces(self, field: Field) -> Marcher:
        """A marcher that passes by what is thinner than a surface, and stops behind one; without colours."""
        from nerfkit.models.fields.surface_marcher import SurfaceMarcher  # which is a marcher itself

        return SurfaceMarcher(self, self.occupied.solid(field.density, torch.Generator().manual_seed(0)))

    def cropped(self, crop: Callable[[Field], Field]) -> Marcher:
        """Itself: it has no field of its own."""
        return self

    def holds(self, xyz_local: Tensor) -> Tensor:
        return self.occupied.grid.holds(xyz_local)

    @property
    def empty(self) -> bool:
        return self.occupied.empty

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count, "occupied": self.occupied.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.count = int(state["count"])
        self.occupied.load_state_dict(state["occupied"])
