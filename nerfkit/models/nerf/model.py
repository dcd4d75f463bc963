"""NeRF as a scene model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import torch

from nerfkit.contracts import RenderCore
from nerfkit.models.fields.draw import Sampler
from nerfkit.models.fields.model import FieldModel
from nerfkit.models.fields.sampling import sampled_space, sampler_of
from nerfkit.models.fields.setup import check, samples_of
from nerfkit.models.nerf.config import Config
from nerfkit.models.nerf.field import NerfField
from nerfkit.models.nerf.sampler import CoarseToFine

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene


class Model(FieldModel):
    """A network from points to density and colour: two wide ones as published, or a small one."""

    name: ClassVar[str] = "nerf"

    @classmethod
    def create(cls, config: Config, scene: Scene, core: RenderCore, device: torch.device) -> Self:
        """Begins with random networks.

        Raises:
            NerfkitError: the scene has no training views, or the options make no sense.
        """
        config = config.for_device(str(device))
        check(config, scene, cls.name)
        space, possible = sampled_space(scene, config, cones=config.antialias)
        rng = torch.Generator().manual_seed(1)
        if config.preset == "paper":
            step = 2 * space.half / (config.coarse + config.fine)
            coarse, fine = (NerfField(config, space, len(scene.train), core, step, rng, device) for _ in range(2))
            disparity = space.contracted if config.disparity is None else config.disparity
            sampler: Sampler = CoarseToFine(space, coarse, core, config.near, config.coarse, config.fine, disparity)
            params = {f"coarse.{name}": param for name, param in coarse.params.items()}
            params |= {f"fine.{name}": param for name, param in fine.params.items()}
            betas = (0.9, 0.999)
        else:
            samples = samples_of(space, config)
            step = 2 * space.half * 3**0.5 / samples
            fine = NerfField(config, space, len(scene.train), core, step, rng, device)
            sampler, learnt = sampler_of(config, space, possible, core, rng, device)
            params, betas = fine.params | learnt, (0.9, 0.99)
        groups = [{"name": name, "params": [param]} for name, param in params.items()]
        return cls(config, scene, core, device, sampler, fine, groups, betas=betas)
