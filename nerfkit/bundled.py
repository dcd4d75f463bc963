"""The scenes that come with nerfkit: recipes (`NAME.toml`) and, for some, the photos themselves."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from nerfkit.errors import NerfkitError


def folder() -> Path:
    """`scenes/`: inside the package when installed, beside it in a checkout."""
    import nerfkit

    places = [Path(place) / "scenes" for place in nerfkit.__path__] + [Path(__file__).parents[1] / "scenes"]
    for place in places:
        if any(place.glob("*.toml")):
            return place
    raise NerfkitError(f"{places[0]}: the bundled scenes are missing; install nerfkit again")


def recipes() -> dict[str, dict[str, Any]]:
    """Every recipe by name."""
    return {path.stem: tomllib.loads(path.read_text()) for path in sorted(folder().glob("*.toml"))}


def scene_path(name: str) -> Path:
    """The folder of a scene whose photos are bundled.

    Raises:
        NerfkitError: no such scene, or one whose photos have to be fetched first.
    """
    known = recipes()
    if name not in known:
        raise NerfkitError(f"there is no scene {name!r}; choose one of: {', '.join(known)}")
    path = folder() / name
    if not path.is_dir():
        raise NerfkitError(f"{name}: its photos are not bundled ({known[name].get('photos', 'see its recipe')})")
    return path
