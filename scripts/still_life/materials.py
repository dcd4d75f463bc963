"""The look of every material of the still life."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from still_life import textures as paint
from still_life.textures import INK, Color, Picture


@dataclass(frozen=True)
class Painted:
    """A picture laid on by the texture coordinates."""

    picture: Picture
    roughness: float = 0.6


@dataclass(frozen=True)
class Speckled:
    """Solid noise in world coordinates: patches of some colours, and flecks of the last one."""

    colors: tuple[Color, ...]
    scale: float  # patches per metre, about
    roughness: float = 0.6


def materials(rng: np.random.Generator) -> dict[str, Painted | Speckled]:
    covers: tuple[Color, ...] = ((126, 40, 44), (38, 78, 92), (190, 138, 58))
    inks: tuple[Color, ...] = ((178, 58, 47), (42, 92, 122), (74, 112, 66))
    looks: dict[str, Painted | Speckled] = {
        "cloth": Painted(paint.cloth(rng), 0.9),
        "planks": Painted(paint.planks(rng), 0.55),
        "pages": Painted(paint.pages(rng), 0.9),
        "mug": Painted(paint.mug(rng), 0.3),
        "ball": Painted(
            paint.stripes(rng, ((190, 52, 48), (236, 226, 200), (46, 84, 140), (233, 190, 90)), 8, (1400, 700), 110),
            0.4,
        ),
        "knot": Painted(
            paint.stripes(rng, ((40, 110, 112), (232, 198, 110), (178, 70, 52)), 30, (3000, 160), 150), 0.35
        ),
        "wicker": Speckled(((150, 104, 58), (206, 160, 98), (96, 62, 34)), 60),
        "cane": Speckled(((112, 74, 40), (168, 120, 70), (70, 44, 26)), 50),
        "apple": Speckled(((168, 28, 32), (196, 62, 40), (222, 176, 80), (236, 206, 130)), 34, 0.35),
        "apple2": Speckled(((120, 148, 52), (160, 172, 66), (186, 90, 56), (222, 216, 140)), 34, 0.35),
        "orange": Speckled(((224, 122, 32), (236, 150, 52), (176, 84, 26)), 70, 0.5),
        "pear": Speckled(((176, 168, 62), (206, 190, 92), (160, 104, 56), (110, 84, 40)), 55, 0.45),
        "twig": Speckled(((84, 62, 40), (110, 84, 54), (60, 42, 28)), 90),
        "pot": Speckled(((164, 88, 58), (188, 112, 76), (206, 150, 116), (226, 196, 170)), 40, 0.8),
        "soil": Speckled(((52, 38, 28), (80, 60, 44), (140, 120, 96)), 90, 0.9),
        "stem": Speckled(((86, 110, 50), (110, 130, 64), (70, 84, 40)), 60),
        "leaf": Speckled(((52, 104, 44), (84, 136, 58), (140, 168, 80)), 55, 0.5),
        "leaf2": Speckled(((96, 132, 54), (150, 164, 70), (60, 100, 44)), 55, 0.5),
        "wood": Speckled(((140, 96, 58), (176, 130, 84), (92, 60, 36)), 45),
        "glaze": Speckled(((42, 110, 110), (66, 136, 132), (224, 220, 206)), 60, 0.3),
        "iron": Speckled(((64, 62, 64), (104, 96, 90), (150, 92, 58)), 90, 0.4),
        "brass": Speckled(((176, 130, 54), (206, 164, 84), (110, 76, 34)), 80, 0.35),
        "stone0": Speckled(((96, 96, 100), (136, 132, 128), (176, 170, 160), (216, 212, 204)), 45, 0.85),
        "stone1": Speckled(((120, 100, 84), (158, 136, 112), (96, 74, 60), (60, 50, 46)), 45, 0.85),
    }
    for k in range(3):
        looks[f"cover{k}"] = Painted(paint.book_cover(rng, covers[k]), 0.5)
        looks[f"spine{k}"] = Painted(paint.book_spine(rng, covers[k]), 0.5)
        looks[f"letters{k}"] = Painted(paint.letters(rng, inks[k]), 0.6)
        looks[f"pencil{k}"] = Painted(
            paint.stripes(rng, (inks[k], INK, inks[k], (222, 190, 140)), 8, (800, 80), 24), 0.45
        )
    for k, wall in enumerate(paint.WALLS):
        looks[f"wall{k}"] = Painted(wall(rng), 0.8)
    return looks
