"""Hash-grid NGP as a scene model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Self

import torch

from nerfkit.contracts import RenderCore
from nerfkit.models.fields.draw import Sampler
from nerfkit.models.fields.guide import GuideField
from nerfkit.models.fields.marcher import Marcher
from nerfkit.models.fields.model import FieldModel
from nerfkit.models.fields.proposals import Proposals
from nerfkit.models.fields.setup import check, samples_of, space_of
from nerfkit.models.fields.space import Space
from nerfkit.models.ngp.config import Config
from nerfkit.models.ngp.field import NgpField

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene


_FINEST = 128, 256  # cells along a guide's last level
_LOG2_SIZE = 17  # entries of its levels, at most
_GUIDED_MIST = 0.0  # what no photo rules out isn't looked at, and hides nothing, if it is thin


class Model(FieldModel):
    """A hash-grid field, marched by an occupancy grid, or drawn where small fields propose to look."""

    name: ClassVar[str] = "ngp"

    @classmethod
    def create(cls, config: Config, scene: Scene, core: RenderCore, device: torch.device) -> Self:
        """Begins with a field that is thin mist wherever the photos allow anything.

        Raises:
            NerfkitError: the scene has no training views, or the options make no sense.
        """
        config = config.for_device(str(device))
        check(config, scene, cls.name)
        space, possible = space_of(scene, config)
        proposes = config.sampler == "proposals" or (config.sampler == "auto" and space.contracted)
        if proposes:
            space = dataclasses.replace(space, first_log_density=_GUIDED_MIST)
        rng, possible = torch.Generator().manual_seed(1), possible.to(device)
        field = NgpField(config, space, len(scene.train), core, rng, device)
        params = dict(field.params)
        if proposes:
            guides = _guides(config, space, core, rng, device)
            params |= {f"guide_{i}.{name}": param for i, g in enumerate(guides) for name, param in g.params.items()}
            counts = config.proposed_samples, config.proposed_samples // 2, config.ray_samples
            sampler: Sampler = Proposals(space, possible, guides, core, config.near, counts)
        else:
            sampler = Marcher(space, possible, core, samples_of(space, config), config.near)
        groups = [{"name": name, "params": [param]} for name, param in params.items()]
        return cls(config, scene, core, device, sampler, field, groups, betas=(0.9, 0.99))


def _guides(
    config: Config, space: Space, core: RenderCore, rng: torch.Generator, device: torch.device
) -> list[GuideField]:
    assert config.log2_size is not None
    log2_size = min(config.log2_size, _LOG2_SIZE)
    return [GuideField(space, core, log2_size, finest, rng, device) for finest in _FINEST]
