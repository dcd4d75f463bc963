"""The options of the hash-grid NGP model. Imports no torch; the docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass

from nerfkit.machine import level_2_cache
from nerfkit.models.fields.config import FieldConfig

_SIZES = 14, 19  # least and largest that is chosen


@dataclass
class Config(FieldConfig):
    """Hash-grid NGP (Müller et al. 2022). Everything scheduled is a function of progress, whatever the run's length."""

    levels: int = 8
    """Levels of the hash grid."""
    features: int = 4
    """Features of an entry: 1, 2, 4 or 8."""
    log2_size: int | None = None
    """Entries of a level, as a power of two (default: the largest, from 14 to 19, of which a level stays in a core's
    second-level cache; a run keeps its own)."""
    coarsest: int = 16
    """Cells along the first level's side."""
    finest: int = 1024
    """Cells along the last level's side."""
    width: int = 32
    """Width of the networks' hidden layers."""
    color_layers: int = 2
    """Hidden layers of the colour network; the density network has one."""
    sh_degree: int = 3
    """Degree of the spherical harmonics that directions are given as, 0 to 3."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.log2_size is None:  # now, so that the run's config.toml tells what its checkpoints hold
            entries = level_2_cache() // (4 * max(1, self.features))
            self.log2_size = min(max(entries.bit_length() - 1, _SIZES[0]), _SIZES[1])
