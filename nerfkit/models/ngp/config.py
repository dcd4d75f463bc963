"""The options of the hash-grid NGP model. Imports no torch; the docstrings are the command line's help."""

from __future__ import annotations

from dataclasses import dataclass

from nerfkit.models.fields.config import FieldConfig


@dataclass
class Config(FieldConfig):
    """Hash-grid NGP (Müller et al. 2022). Everything scheduled is a function of progress, whatever the run's length."""

    levels: int = 8
    """Levels of the hash grid."""
    features: int = 4
    """Features of an entry: 1, 2, 4 or 8."""
    log2_size: int = 15
    """Entries of a level, as a power of two."""
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
