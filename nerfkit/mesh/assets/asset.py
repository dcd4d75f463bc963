"""What is handed to an engine: a mesh in several levels of detail with collision shapes, in a frame of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from nerfkit.contracts import Mesh
from nerfkit.data.similarity import Similarity
from nerfkit.far_world import Near
from nerfkit.mesh import geometry


@dataclass(frozen=True)
class Asset:
    """Meshes in the asset frame: right-handed, +Z up, in metres or, where the poses have no scale, in world units."""

    name: str
    levels: Sequence[Mesh]  # the finest first; each with its own uvs, texture and normal map, or with vertex colours
    collision: Sequence[Mesh] = field(default_factory=tuple)  # convex and closed
    metric: bool = False  # whether a unit is a metre

    def __post_init__(self) -> None:
        if not self.levels:
            raise ValueError("an asset needs at least one level of detail")
        object.__setattr__(self, "name", safe_name(self.name))


def safe_name(name: str) -> str:
    """A name that every format and engine takes: letters, digits and underscores, not beginning with a digit."""
    name = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "mesh"
    return f"_{name}" if name[0].isdigit() else name


def place(
    name: str,
    levels: Sequence[Mesh],
    collision: Sequence[Mesh],
    asset_from_scene: Similarity,
    metric: bool = False,
) -> Asset:
    """The asset of meshes that are in the scene frame."""
    return Asset(
        name,
        [geometry.transformed(mesh, asset_from_scene) for mesh in levels],
        [geometry.transformed(mesh, asset_from_scene) for mesh in collision],
        metric,
    )


def asset_frame(scene_from_world: Similarity, mesh: Mesh, pivot: bool = True) -> Similarity:
    """``asset_from_scene``: in the world's unit, upright as the scene frame is.

    Args:
        scene_from_world: the scene's similarity.
        mesh: the finest level, in the scene frame.
        pivot: the origin is the middle of the base of the mesh's bounding box, where an artist takes hold of a thing
            to put it on the floor; else it is the world's origin, so that several meshes of one world stay together.
    """
    scale = 1 / scene_from_world.scale
    if pivot:
        low, high = mesh.vertices.min(0).astype(np.float64), mesh.vertices.max(0).astype(np.float64)
        origin = torch.from_numpy(np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]]))
    else:
        origin = scene_from_world.translation
    return Similarity(scale, torch.eye(3, dtype=torch.float64), -scale * origin)


def world_frame(scene_from_world: Similarity) -> Near:
    """In place of :func:`asset_frame` where no engine is named: the cameras' own coordinates, as far as files can say
    them."""
    return Near.of(scene_from_world.inverse())
