"""``nerfkit scenes``: the bundled scenes and recipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerfkit.cli.console import Console


@dataclass
class Options:
    path: str | None = None
    """Print only the folder of this scene, for use in scripts."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit import bundled

    if options.path is not None:
        place = bundled.scene_path(options.path)
        console.answer(str(place))
        return {"path": str(place)}
    recipes = bundled.recipes()
    for name, recipe in recipes.items():
        here = "bundled" if (bundled.folder() / name).is_dir() else "photos not bundled"
        console.say(f"[bold]{name:12s}[/] {recipe.get('title', '')} [dim]({here})[/]")
    return {"scenes": recipes}
