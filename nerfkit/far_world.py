"""Worlds that lie far from their origin, as surveyed ones do.

Splat files, meshes and graphics cards hold coordinates in single precision: at a northing of 5,400,000 m that knows
half metres only, and a scene of some metres becomes steps. Such a scene is written less an offset, as survey programs
do ("global shift"): a few round numbers that are told, and added again by whoever wants the world's coordinates.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from nerfkit.data.similarity import Similarity

log = logging.getLogger("nerfkit")

_COARSE = 1e-4  # of a scene's unit: the step between neighbouring numbers from which it shows
_STEP = 2.0**-23  # of single precision, of the number itself
_ROUND = 10.0  # units of the scene, at least, that an offset is a multiple of


@dataclass(frozen=True, eq=False)
class Near:
    """A frame for files: the world's, less an offset where that is far away."""

    out_from_scene: Similarity
    offset: Tensor | None  # [3] float64, in the world's units; None: it is the world's own

    @classmethod
    def of(cls, world_from_scene: Similarity) -> Near:
        """The frame for a world, by how precisely single precision can place the scene in it.

        Args:
            world_from_scene: the scene lies around the origin and is some units large, as all of nerfkit's are.
        """
        middle, scale = world_from_scene.translation, world_from_scene.scale
        if float(middle.abs().max()) * _STEP <= _COARSE * scale:
            return cls(world_from_scene, None)
        step = 10.0 ** math.ceil(math.log10(_ROUND * scale))
        offset = (middle / step).round() * step
        return cls(Similarity(scale, world_from_scene.rotation, middle - offset), offset)

    @property
    def away(self) -> Tensor:
        """The offset [3], or zeros."""
        return torch.zeros(3, dtype=torch.float64) if self.offset is None else self.offset

    def to_json(self) -> list[float] | None:
        return None if self.offset is None else self.offset.tolist()

    def tell(self, path: Path, remedy: str = "add it for the world's coordinates") -> None:
        """Warns of the offset, if there is one."""
        if self.offset is not None:
            words = " ".join(f"{number:.12g}" for number in self.offset.tolist())
            log.warning(
                "%s: the poses' world is too far from its origin for single precision; coordinates are written less "
                "the offset %s: %s",
                path, words, remedy,
            )  # fmt: skip
