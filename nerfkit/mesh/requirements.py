"""The libraries of the ``mesh`` extra, imported where they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from nerfkit.errors import NerfkitError


def require(module: str) -> Any:
    """Imports a module of the ``mesh`` extra.

    Raises:
        NerfkitError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name != module.split(".")[0]:
            raise
        raise NerfkitError(
            f"meshes need the package {module.split('.')[0]}, which is not installed; run: pip install nerfkit[mesh]"
        ) from None


def check_packages() -> None:
    """Raises NerfkitError: a package that every mesh needs is missing; before the work, not after it."""
    for module in ("skimage", "scipy", "fast_simplification", "trimesh", "xatlas"):
        require(module)
