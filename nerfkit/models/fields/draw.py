"""From a field to pixels: where rays have samples, what is seen there, and how it adds up."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from nerfkit.contracts import Rays, RenderCore, Samples
from nerfkit.models.fields.cones import cone_moments
from nerfkit.models.fields.intervals import Scale
from nerfkit.models.fields.space import Space


class Field(Protocol):
    """What is learned: density and colour at local points (:class:`nerfkit.models.fields.space.Space`)."""

    sample_bytes: int  # that it keeps of a sample in training, until its gradient is known
    cones: bool  # whether it is averaged over pixels' cones: looked at with variances

    def density(self, xyz_local: Tensor, variance: Tensor | None = None) -> Tensor:
        """Per local unit: [P]; of points [P, 3] or what lies around them with a variance [P, 3] along the axes.

        Differentiable in the points too.
        """
        ...

    def shade(
        self, xyz_local: Tensor, rays: Rays, ray_index: Tensor, variance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Density [S] and colour [S, 3] in [0, 1] of samples [S, 3] of rays."""
        ...


@dataclass(frozen=True)
class Room:
    """Samples for which there is room in a training step of fixed sizes."""

    looked_at: int
    shaded: int


@dataclass(frozen=True)
class Found:
    """What a step of fixed sizes has found, which only the device knows."""

    looked_at: Tensor  # [] samples
    shaded: Tensor  # []
    whole: Tensor  # [R] bool, rays all of whose samples had room


@dataclass(frozen=True)
class Drawn:
    """Rays' colours over nothing, and what is left of the light behind them."""

    rgb: Tensor  # [R, 3]
    transmittance: Tensor  # [R]
    weights: Tensor  # [S]
    samples: Samples
    looked_at: int = 0  # samples whose density alone was computed
    losses: dict[str, Tensor] = field(default_factory=dict)  # what the sampler learns by, beside the photo
    edges: Tensor | None = None  # [H, N + 1] between all of the samples, on the sampler's scale, where it has them
    found: Found | None = None  # where samples' number depends on what is there, and arrays' sizes don't

    @property
    def shaded(self) -> int:
        return len(self.weights)

    def over(self, background: Tensor) -> Tensor:
        """The colours over a background [3] or [R, 3]."""
        return self.rgb + self.transmittance[:, None] * background

    def sum_of(self, values: Tensor) -> Tensor:
        """Weighted sums along the rays [R, C] of values [S, C] of the samples."""
        out = values.new_zeros(len(self.rgb), values.shape[1])
        return out.index_add_(0, self.samples.ray_index.long(), self.weights[:, None] * values)


class Sampler(Protocol):
    """Where along rays a field is looked at."""

    space: Space
    looks_ahead: bool  # whether density is looked at in more places than are drawn
    usual_samples: int  # of a ray, before anything is known
    usual_distortion: float  # weight of the loss on what is spread out along rays
    scale: Scale  # on which that is measured

    @property
    def kind_of_step(self) -> Hashable | None:
        """What the next :meth:`draw` in training does: of the same kind, in the same room and with as many rays, all
        have arrays of the same sizes. None: sizes depend on what is found, for which a GPU is waited for."""
        ...

    def draw(
        self, field: Field, rays_local: Rays, rng: torch.Generator | None = None, room: Room | None = None
    ) -> list[Drawn]:
        """Draws rays [R]; the last result is the picture, earlier ones are trained along with it.

        With ``rng`` for training: samples lie at random places. Differentiable in what the field learns. With ``room``
        the sizes of arrays depend on that alone, if there is a :attr:`kind_of_step`.
        """
        ...

    def after_step(self, field: Field, rng: torch.Generator) -> None: ...

    def for_surfaces(self, field: Field) -> Sampler:
        """The sampler for pictures of depth alone: it may pass by what is too thin to be a surface."""
        ...

    def cropped(self, crop: Callable[[Field], Field]) -> Sampler:
        """The sampler for drawing a cropped field, by cropped fields of its own if it has any."""
        ...

    def holds(self, xyz_local: Tensor) -> Tensor:
        """Whether there may be anything at points [P, 3]: [P] bool."""
        ...

    @property
    def empty(self) -> bool:
        """Whether it is known that there is nothing anywhere."""
        ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


def middles(samples: Samples) -> Tensor:
    return (samples.t_start + samples.t_end) / 2


def places(field: Field, rays: Rays, samples: Samples, core: RenderCore) -> tuple[Tensor, Tensor | None]:
    """Where a field is to be looked at for samples: means [S, 3] and, for a field of cones, variances [S, 3]."""
    xyz = core.sample_points(rays, samples)
    if not field.cones or rays.radii is None:
        return xyz, None
    shift, variance = cone_moments(rays, samples, rays.radii)
    return xyz + shift, variance


def opacities(field: Field, rays: Rays, samples: Samples, core: RenderCore) -> Tensor:
    """Of samples of a field, without their colours: [S]."""
    return core.opacity(field.density(*places(field, rays, samples, core)), samples)[0]


def composite(
    field: Field, rays: Rays, samples: Samples, core: RenderCore, looked_at: int = 0, whole_from: float = 0.0
) -> Drawn:
    """Shades samples and adds them up.

    Args:
        whole_from: distance from which samples learn as they would by themselves. Nearer ones learn by the square of
            their share of it: rays lie close together near a camera, where each step would else fill space with what
            suits one photo (Philip & Deschaintre 2023, "Floaters No More", eq. 3).
    """
    xyz, variance = places(field, rays, samples, core)
    density, colors = field.shade(xyz, rays, samples.ray_index, variance)
    alphas, share = core.opacity(density, samples, whole_from if density.requires_grad else 0.0)
    if share is not None:
        of_colors = share[:, None]
        colors.register_hook(lambda grad: grad * of_colors)
    rgb, transmittance, weights = core.composite(alphas, colors, samples.offsets)
    return Drawn(rgb, transmittance, weights, samples, looked_at)
