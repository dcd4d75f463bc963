"""The library of the ``viewer`` extra, imported where it is needed."""

from __future__ import annotations

import importlib
from typing import Any

from nerfkit.errors import NerfkitError


def require_viser() -> Any:
    """The module ``viser``.

    Raises:
        NerfkitError: it is not installed.
    """
    try:
        return importlib.import_module("viser")
    except ModuleNotFoundError as error:
        if error.name != "viser":
            raise
        raise NerfkitError(
            "the viewer needs the package viser, which is not installed; run: pip install nerfkit[viewer]"
        ) from None
