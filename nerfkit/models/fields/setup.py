"""Which space a scene needs, and which cells of it may hold something."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nerfkit.errors import NerfkitError
from nerfkit.models.fields.config import FieldConfig
from nerfkit.models.fields.hull import fitting_cube, possible_cells
from nerfkit.models.fields.ndc import ndc_space
from nerfkit.models.fields.space import Space

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_BOX_CELLS = 64  # along a side of the cube around the cameras in which the object's box is looked for
_FARTHEST = 0.98  # of the sparse points are to lie in the outermost cube
_MOST_CASCADES = 8
# Where space has no end, marched rays cross much that stays mist; a denser one is cleared more surely (fox:
# 23.9 dB after 34 million samples with 1, 23.2 with 0, 22.5 with 2).
_MARCHED_MIST = 1.0

log = logging.getLogger("nerfkit")


def check(config: FieldConfig, scene: Scene, model: str) -> None:
    """Raises NerfkitError: options that make no sense, or nothing to train on."""
    config.check(model)
    if not scene.train:
        raise NerfkitError(f"{scene.source}: no photos are left to train on; lower --hold-out-every or add photos")


def samples_of(space: Space, config: FieldConfig) -> int:
    """Steps along the diagonal of the (inner) cube."""
    return config.samples or (256 if space.contracted else 512)


def space_of(scene: Scene, config: FieldConfig, cones: bool = False) -> tuple[Space, Tensor]:
    """The space of a scene and its possible cells [K, G, G, G] bool.

    Photos with alpha show an object: its box is that of its visual hull. Other photos, and those whose alpha rules
    nothing out, show all of space, or what lies in front of them if they all look the same way.

    Args:
        cones: pixels' cones must stay cones, as they don't in normalised device coordinates.

    Raises:
        NerfkitError: a box or normalised device coordinates were asked for, and the photos allow none.
    """
    box = _object_box(scene) if config.space in ("auto", "box") and scene.has_alpha else None
    if config.space == "box":
        if box is None:
            raise NerfkitError(
                f"{scene.source}: the photos' alpha channels show no object to put a box around; leave out --space box"
            )
        return _box_space(scene, config, *box)
    if box is not None and box[1] < 1:
        return _box_space(scene, config, *box)
    wanted = config.space == "ndc" or (config.space == "auto" and not cones)
    ndc = ndc_space(scene) if wanted else None
    if ndc is not None:
        return ndc, torch.ones(1, *[config.grid_cells] * 3, dtype=torch.bool)
    if config.space == "ndc":
        raise NerfkitError(
            f"{scene.source}: the photos don't all look the same way at things in front of them; leave out --space ndc"
        )
    return _contracted_space(scene, config)


def _object_box(scene: Scene) -> tuple[Tensor, float] | None:
    """The cube around what the photos show inside the cameras' ball: its centre [3] and half side."""
    center = torch.zeros(3)
    box = fitting_cube(possible_cells(scene, center, 1.0, _BOX_CELLS, by_alpha=True), center, 1.0)
    if box is None:
        log.warning("the photos' alpha channels contradict each other: no place is in all of them; check the poses")
    return box


def _box_space(scene: Scene, config: FieldConfig, center: Tensor, half: float) -> tuple[Space, Tensor]:
    x, y, z = center.tolist()
    cells = possible_cells(scene, center, half, config.grid_cells // 2, by_alpha=True)
    return Space((x, y, z), half), _finer(cells, 2)[None]


def _contracted_space(scene: Scene, config: FieldConfig) -> tuple[Space, Tensor]:
    reach = max(1.0, float(scene.points.norm(dim=1).quantile(_FARTHEST)))
    cascades = min(1 + math.ceil(math.log2(reach)), _MOST_CASCADES)
    space = Space(contracted=True, cascades=cascades, first_log_density=_MARCHED_MIST)
    coarse = config.grid_cells // 4
    cells = [possible_cells(scene, torch.zeros(3), 2.0**level, coarse, by_alpha=False) for level in range(cascades)]
    possible = torch.stack([_finer(of_level, 4) for of_level in cells])
    if not bool(possible.any()):
        raise NerfkitError(f"{scene.source}: no place is seen by the training photos' cameras; check the poses")
    return space, possible


def _finer(cells: Tensor, factor: int) -> Tensor:
    """Cells [G, G, G] divided along each axis."""
    for axis in range(3):
        cells = cells.repeat_interleave(factor, axis)
    return cells
