"""Which meshes of an asset go into which file, under which names."""

from __future__ import annotations

from dataclasses import dataclass, field

from nerfkit.contracts import Mesh
from nerfkit.mesh.assets.asset import Asset
from nerfkit.mesh.assets.engines import Engine, Place


@dataclass(frozen=True)
class Part:
    """A mesh with the name that its node, its object and itself have."""

    name: str
    mesh: Mesh
    level: int | None  # of detail; None for a collision shape


@dataclass
class Document:
    """What goes into one file: the scene that a reader shows, and others by name."""

    scene: list[Part]
    others: dict[str, list[Part]] = field(default_factory=dict)

    def parts(self) -> list[Part]:
        return [*self.scene, *(part for parts in self.others.values() for part in parts)]


def documents(asset: Asset, engine: Engine, suffix: str) -> dict[str, Document]:
    """The files that an asset becomes, by what is appended to the stem of their name: first "", then "_LOD1"…"""
    layout = engine.layouts[suffix]
    name = asset.name
    together = len(asset.levels) > 1 and layout.levels != "files"
    main = Document([])
    files = {"": main}

    def add(place: Place, label: str, parts: list[Part]) -> None:
        if place == "scene":
            main.scene += parts
        elif place == "scenes":
            main.others[f"{name}{label}"] = parts
        else:
            files[label] = Document(parts)

    for level, mesh in enumerate(asset.levels):
        if together:
            called = engine.level_names.format(name=name, level=level)
        else:
            called = engine.mesh_names.format(name=name if level == 0 else f"{name}_LOD{level}")
        add("scene" if level == 0 else layout.levels, f"_LOD{level}", [Part(called, mesh, level)])
    if asset.collision:
        shapes = [
            Part(engine.collision_names.format(name=name, part=index), mesh, None)
            for index, mesh in enumerate(asset.collision)
        ]
        add(layout.collision, "_collision", shapes)
    return files
