"""NeRF as a scene model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import torch

from nerfkit.contracts import RenderCore
from nerfkit.errors import NerfkitError
from nerfkit.models.fields.draw import Sampler
from nerfkit.models.fields.marcher import Marcher
from nerfkit.models.fields.model import FieldModel
from nerfkit.models.fields.setup import check, samples_of, space_of
from nerfkit.models.nerf.config import Config
from nerfkit.models.nerf.field import NerfField
from nerfkit.models.nerf.sampler import CoarseToFine

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene


class Model(FieldModel):
    """A network from points to density and colour: two wide ones as published, or a small one that is marched."""

    name: ClassVar[str] = "nerf"

    @classmethod
    def create(cls, config: Config, scene: Scene, core: RenderCore, device: torch.device) -> Self:
        """Begins with random networks.

        Raises:
            NerfkitError: the scene has no training views, or the options make no sense.
        """
        _check(config)
        config.check(cls.name)  # before the preset decides
        config = config.for_device(str(device))
        check(config, scene, cls.name)
        space, possible = space_of(scene, config, cones=config.antialias)
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
            sampler = Marcher(space, possible.to(device), core, samples, config.near)
            params, betas = fine.params, (0.9, 0.99)
        groups = [{"name": name, "params": [param]} for name, param in params.items()]
        return cls(config, scene, core, device, sampler, fine, groups, betas=betas)


def _check(config: Config) -> None:
    for name, choices in (("preset", ("fast", "paper")), ("activation", (None, "relu", "softplus", "exp"))):
        if getattr(config, name) not in choices:
            words = " or ".join(choice for choice in choices if choice)
            raise NerfkitError(f"--nerf.{name} {getattr(config, name)}: must be {words}")
    bounds = (
        ("depth", 1, 32), ("width", 2, 1024), ("frequencies", 0, 24), ("direction_frequencies", 0, 24), ("skip", 0, 32),
        ("coarse", 2, 4096), ("fine", 1, 4096),
    )  # fmt: skip
    for name, least, most in bounds:
        value = getattr(config, name)
        if value is not None and not least <= value <= most:
            option = f"--nerf.{name.replace('_', '-')} {value}"
            raise NerfkitError(f"{option}: must be from {least} to {most}")
    if config.raw_noise < 0:
        raise NerfkitError(f"--nerf.raw-noise {config.raw_noise}: must be 0 or more")
