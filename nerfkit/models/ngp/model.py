"""Hash-grid NGP as a scene model."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

import torch

from nerfkit.contracts import RenderCore
from nerfkit.errors import NerfkitError
from nerfkit.models.fields.marcher import Marcher
from nerfkit.models.fields.model import FieldModel
from nerfkit.models.fields.setup import check, samples_of, space_of
from nerfkit.models.ngp.config import Config
from nerfkit.models.ngp.field import NgpField

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene


class Model(FieldModel):
    """A hash-grid field, marched by an occupancy grid."""

    name: ClassVar[str] = "ngp"

    @classmethod
    def create(cls, config: Config, scene: Scene, core: RenderCore, device: torch.device) -> Self:
        """Begins with a field that is thin mist wherever the photos allow anything.

        Raises:
            NerfkitError: the scene has no training views, or the options make no sense.
        """
        config = config.for_device(str(device))
        check(config, scene, cls.name)
        _check(config)
        space, possible = space_of(scene, config)
        field = NgpField(config, space, len(scene.train), core, torch.Generator().manual_seed(1), device)
        marcher = Marcher(space, possible.to(device), core, samples_of(space, config), config.near)
        groups = [{"name": name, "params": [param]} for name, param in field.params.items()]
        return cls(config, scene, core, device, marcher, field, groups, betas=(0.9, 0.99))


def _check(config: Config) -> None:
    if not 0 <= config.sh_degree <= 3:
        raise NerfkitError(f"--ngp.sh-degree {config.sh_degree}: must be 0 to 3")
    for name, least, most in (("levels", 1, 32), ("log2_size", 4, 24), ("width", 1, 1024), ("color_layers", 0, 8)):
        if not least <= getattr(config, name) <= most:
            option = f"--ngp.{name.replace('_', '-')} {getattr(config, name)}"
            raise NerfkitError(f"{option}: must be from {least} to {most}")
    if config.coarsest < 1:
        raise NerfkitError(f"--ngp.coarsest {config.coarsest}: must be 1 or more")
