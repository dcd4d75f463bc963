"""The options of the hash-grid NGP model. Imports no torch; the docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from nerfkit.errors import NerfkitError
from nerfkit.limits import Degree, Within
from nerfkit.machine import level_2_cache
from nerfkit.models.fields.config import SampledConfig

_SIZES = 14, 19  # least and largest that is chosen


@dataclass
class Config(SampledConfig):
    """Hash-grid NGP (Müller et al. 2022). Everything scheduled is a function of progress, whatever the run's length."""

    model: ClassVar[str] = "ngp"

    levels: Annotated[int, Within(1, 32)] = 8
    """Levels of the hash grid."""
    features: Annotated[int, Within(1, 8)] = 4
    """Features of an entry: 1, 2, 4 or 8."""
    log2_size: Annotated[int, Within(4, 24)] | None = None
    """Entries of a level, as a power of two (default: the largest, from 14 to 19, of which a level stays in a core's
    second-level cache; 19 on a GPU; a run keeps its own)."""
    coarsest: Annotated[int, Within(1)] = 16
    """Cells along the first level's side."""
    finest: Annotated[int, Within(1)] | None = None
    """Cells along the last level's side (default: 1024 on a CPU, 2048 on a GPU)."""
    width: Annotated[int, Within(1, 1024)] | None = None
    """Width of the networks' hidden layers (default: 32 on a CPU, 64 on a GPU)."""
    color_layers: Annotated[int, Within(0, 8)] = 2
    """Hidden layers of the colour network; the density network has one."""
    sh_degree: Degree = 3
    """Degree of the spherical harmonics that directions are given as, 0 to 3."""

    def check(self, model: str) -> None:
        super().check(model)
        if self.features not in (1, 2, 4, 8):
            raise NerfkitError(f"--{model}.features {self.features}: must be 1, 2, 4 or 8")
        if self.finest is not None and self.finest < self.coarsest:
            raise NerfkitError(f"--{model}.coarsest {self.coarsest}: must be from 1 to --{model}.finest {self.finest}")

    def chosen(self, device: str) -> dict[str, Any]:
        """On a GPU what instant-ngp takes, whose tables of halfs fit into its second-level cache."""
        if device.startswith("cuda"):
            return super().chosen(device) | {"log2_size": _SIZES[1], "finest": 2048, "width": 64}
        entries = level_2_cache() // (4 * max(1, self.features))
        log2_size = min(max(entries.bit_length() - 1, _SIZES[0]), _SIZES[1])
        return super().chosen(device) | {"log2_size": log2_size, "finest": 1024, "width": 32}
