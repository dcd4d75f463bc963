"""Where along rays the surface lies, more finely than rays are marched for their colours, and which way it faces."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from nerfkit.contracts import Rays, RenderCore, Samples
from nerfkit.models.fields.draw import Drawn, Field, opacities
from nerfkit.models.fields.space import Space

_SEEN = 0.02  # weight from which a sample may hold a part of the surface
_PARTS = 4  # of such a sample and the gap before it
_NORMAL_REACH = 0.02  # of the space's half side: over which a surface's direction is looked for
_UNSURE = 0.01  # of the distance: over which light is lost at a surface that counts half
_FUZZ = 0.1  # what a surface counts that is no sharper than mist


class Colorless:
    """A field without its colours, for pictures that have none."""

    def __init__(self, field: Field):
        self.field = field
        self.sample_bytes, self.cones = field.sample_bytes, field.cones

    def density(self, xyz_local: Tensor, variance: Tensor | None = None) -> Tensor:
        return self.field.density(xyz_local, variance)

    def shade(
        self, xyz_local: Tensor, rays: Rays, ray_index: Tensor, variance: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Black."""
        return self.field.density(xyz_local, variance), torch.zeros_like(xyz_local)


def surface(field: Field, space: Space, core: RenderCore, drawn: Drawn, rays: Rays) -> tuple[Tensor, Tensor]:
    """Distances in the scene [R] at which half of the light is gone, 0 where it never is, and how sure they are.

    Sure is 1 where light goes at once, as at a wall, about 1/2 where the half between the quarters takes 1 % of the
    distance, and little in fuzz, whose middle is no surface, but all that there is where no view sees better.
    """
    fine = refined(field, space.local_rays(rays), drawn, core)
    index = torch.arange(len(rays.origins), device=rays.origins.device)
    first, middle, last = (
        torch.where(t > 0, space.scene_distances(rays, t, index), 0)
        for t in (distance_at(fine, light) for light in (0.75, 0.5, 0.25))
    )
    spread = (last - first) / (_UNSURE * middle).clamp_min(1e-12)
    sharp = torch.where(last > 0, 1 / (1 + spread**2), 0)
    return middle, torch.where(middle > 0, _FUZZ + (1 - _FUZZ) * sharp, 0)


def normals(field: Field, space: Space, core: RenderCore, drawn: Drawn, rays: Rays) -> Tensor:
    """Directions in which the field gets thinner, weighted as colours are: [R, 3] unit, towards the camera.

    By differences over a tetrahedron's corners: the derivative itself tells of single cells of a hash grid (Li et
    al. 2023, Neuralangelo, section 3.2), and opacities count, since what is dense already has no side.
    """
    xyz = core.sample_points(space.local_rays(rays), drawn.samples)
    reach = _NORMAL_REACH * space.half
    thinner = torch.zeros_like(xyz)
    for corner in xyz.new_tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / 3**0.5:
        opacity = -torch.expm1(-field.density(xyz + reach * corner) * reach)
        thinner -= opacity[:, None] * corner
    normal = torch.nn.functional.normalize(drawn.sum_of(space.scene_normals(xyz, thinner)), dim=1)
    away = (normal * rays.directions).sum(1, keepdim=True) > 0
    return torch.where(away, -normal, normal)


def refined(field: Field, rays_local: Rays, drawn: Drawn, core: RenderCore) -> Drawn:
    """The rays with shorter samples, and only where they lose light; without colours.

    A sample tells the density in its middle alone, so that a surface may also lie before it, as far as the middle of
    the one before, which shows nothing. So each is divided together with the length of a sample before it.
    """
    samples = _divided(_reaching_back(drawn.samples, drawn.weights > _SEEN), _PARTS)
    alphas = opacities(field, rays_local, samples, core)
    _, transmittance, weights = core.composite(alphas, alphas[:, None], samples.offsets)
    return dataclasses.replace(drawn, transmittance=transmittance, weights=weights, samples=samples, edges=None)


def _reaching_back(samples: Samples, kept: Tensor) -> Samples:
    """The samples in the mask [S], each longer towards the eye by its length, but not into the one before."""
    chosen = kept.nonzero()[:, 0]
    running = torch.nn.functional.pad(kept.cumsum(0, dtype=torch.int32), (1, 0))
    start, end, ray = samples.t_start[chosen], samples.t_end[chosen], samples.ray_index[chosen]
    reach = 2 * start - end
    same_ray = torch.nn.functional.pad(ray[1:] == ray[:-1], (1, 0))
    reach = torch.where(same_ray, torch.maximum(reach, end.roll(1)), reach).clamp_min(0)
    return Samples(torch.minimum(reach, start), end, running[samples.offsets.long()], ray)


def _divided(samples: Samples, parts: int) -> Samples:
    """Each sample as ``parts`` equally long ones."""
    edges = torch.arange(parts + 1, device=samples.t_start.device) / parts
    t = samples.t_start[:, None] + (samples.t_end - samples.t_start)[:, None] * edges  # [S, parts + 1]
    return Samples(
        t[:, :-1].reshape(-1), t[:, 1:].reshape(-1), samples.offsets * parts, samples.ray_index.repeat_interleave(parts)
    )


def distance_at(drawn: Drawn, light: float) -> Tensor:
    """Local distance [R] at which no more than ``light`` is left of a ray's light, 0 where that never happens.

    Within a sample density is even, so that light falls exponentially (Max 1995, eq. 3).
    """
    samples, offsets = drawn.samples, drawn.samples.offsets.long()
    weights = drawn.weights.double()
    running = torch.nn.functional.pad(weights.cumsum(0), (1, 0))
    after = 1 - (running[1:] - running[offsets[:-1]][samples.ray_index.long()])  # [S] light left behind each sample
    before_it = offsets.new_zeros(len(offsets) - 1).index_add_(0, samples.ray_index.long(), (after > light).long())
    place = offsets[:-1] + before_it
    reached = place < offsets[1:]
    if not bool(reached.any()):
        return samples.t_start.new_zeros(len(place))
    place = place.clamp_max(len(after) - 1)
    behind = after[place].clamp_min(1e-12)
    before = (behind + weights[place]).clamp_max(1)
    share = (before / light).log() / (before / behind).log().clamp_min(1e-12)
    t = samples.t_start[place] + share.clamp(0, 1).float() * (samples.t_end - samples.t_start)[place]
    return torch.where(reached, t, 0)
