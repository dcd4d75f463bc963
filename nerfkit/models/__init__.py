"""What is learned, and how it is drawn: a folder for each scene model.

A model is a package with a torch-free ``config.py`` (``Config``, a dataclass whose field docstrings are the
command line's help) and a ``model.py`` (``Model``, a :class:`nerfkit.contracts.SceneModel`), and one line here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nerfkit.errors import NerfkitError

if TYPE_CHECKING:
    from nerfkit.contracts import SceneModel

MODELS: dict[str, str] = {
    "gaussians": "nerfkit.models.gaussians",
    "nerf": "nerfkit.models.nerf",
    "ngp": "nerfkit.models.ngp",
}


def config_class(name: str) -> type[Any]:
    """The options dataclass of a model, without importing torch."""
    return import_module(f"{_package(name)}.config").Config  # type: ignore[no-any-return]


def model_class(name: str) -> type[SceneModel]:
    return import_module(f"{_package(name)}.model").Model  # type: ignore[no-any-return]


def offers(name: str, capability: type[Any]) -> bool:
    """Whether models of that name have a capability of :mod:`nerfkit.contracts`."""
    return issubclass(model_class(name), capability)


def _package(name: str) -> str:
    if name not in MODELS:
        raise NerfkitError(f"there is no model {name!r}; choose one of: {', '.join(MODELS)}")
    return MODELS[name]
