"""Which sampler draws a field: one that marches through an occupancy grid, or one that guides propose samples to."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit.contracts import RenderCore
from nerfkit.models.fields.config import SampledConfig
from nerfkit.models.fields.draw import Sampler
from nerfkit.models.fields.guide import GuideField
from nerfkit.models.fields.marcher import Marcher
from nerfkit.models.fields.proposals import Proposals
from nerfkit.models.fields.setup import samples_of, space_of
from nerfkit.models.fields.space import Space

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_FINEST = 128, 256  # cells along a guide's last level
_MOST_LOG2_SIZE = 17  # entries of its levels, at most
_GUIDED_MIST = 0.0  # what no photo rules out isn't looked at, and hides nothing, if it is thin


def sampled_space(scene: Scene, config: SampledConfig, cones: bool = False) -> tuple[Space, Tensor]:
    """The space of a scene, with the mist that suits its sampler: see :func:`nerfkit.models.fields.setup.space_of`."""
    space, possible = space_of(scene, config, cones)
    if config.proposes(space.contracted):
        space = dataclasses.replace(space, first_log_density=_GUIDED_MIST)
    return space, possible


def sampler_of(
    config: SampledConfig, space: Space, possible: Tensor, core: RenderCore, rng: torch.Generator,
    device: torch.device | str = "cpu", log2_size: int = _MOST_LOG2_SIZE,
) -> tuple[Sampler, dict[str, Tensor]]:  # fmt: skip
    """The sampler, and by name what it learns.

    Args:
        possible: [K, G, G, G] bool, cells that may hold something.
        log2_size: entries of the field's own hash grid, as a power of two: guides' have no more.
    """
    if not config.proposes(space.contracted):
        return Marcher(space, possible.to(device), core, samples_of(space, config), config.near), {}
    log2_size = min(log2_size, _MOST_LOG2_SIZE)
    guides = [GuideField(space, core, log2_size, finest, rng, device) for finest in _FINEST]
    counts = config.proposed_samples, config.proposed_samples // 2, config.ray_samples
    params = {f"guide_{i}.{name}": param for i, guide in enumerate(guides) for name, param in guide.params.items()}
    return Proposals(space, possible.to(device), guides, core, config.near, counts), params
