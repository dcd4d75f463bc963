"""Hash-grid NGP as a scene model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import torch

from nerfkit.contracts import RenderCore
from nerfkit.models.fields.model import FieldModel
from nerfkit.models.fields.sampling import sampled_space, sampler_of
from nerfkit.models.fields.setup import check
from nerfkit.models.ngp.config import Config
from nerfkit.models.ngp.field import NgpField

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene


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
        space, possible = sampled_space(scene, config)
        rng = torch.Generator().manual_seed(1)
        field = NgpField(config, space, len(scene.train), core, rng, device)
        assert config.log2_size is not None
        sampler, learnt = sampler_of(config, space, possible, core, rng, device, config.log2_size)
        params = field.params | learnt
        groups = [{"name": name, "params": [param]} for name, param in params.items()]
        return cls(config, scene, core, device, sampler, field, groups, betas=(0.9, 0.99))
