"""What the engines expect of a file: axes, units, and the names and places of levels of detail and collision shapes.

What a format says about itself is kept everywhere: a GLB is +Y up, right-handed and in metres (glTF 2.0, 3.4), a USDZ
names its axis and unit. Every importer here turns those to its engine's own axes and unit (Unreal's and Blender's +Z,
Unreal's centimetres, the left hand of Unity and Unreal). An OBJ says nothing, so it is written as each importer takes
it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nerfkit.errors import NerfkitError

FORMATS = (".glb", ".obj", ".usdz", ".ply")

Place = Literal["scene", "scenes", "files"]
"""Where what is not drawn at first goes. scene: beside the finest level. scenes: scenes of their own in the same file
(GLB only). files: files of their own."""


@dataclass(frozen=True)
class Layout:
    levels: Place
    collision: Place


@dataclass(frozen=True)
class Engine:
    name: str
    layouts: dict[str, Layout]  # per suffix that it reads
    mesh_names: str = "{name}"  # of the only level in a file
    level_names: str = "{name}_LOD{level}"  # of several levels in one file
    collision_names: str = "{name}_collision_{part:02}"
    default_levels: int = 4
    obj_up: Literal["y", "z"] = "y"
    obj_scale: float = 1.0  # units of an OBJ to a metre
    obj_bump: bool = True  # whether it takes an OBJ's map_Bump for a normal map
    webp: bool = False  # whether textures may be WebP (EXT_texture_webp)

    def check(self, path: Path, image_format: str) -> None:
        """Raises NerfkitError: a file that this engine doesn't read."""
        suffix = path.suffix.lower()
        if suffix not in self.layouts:
            raise NerfkitError(f"{path}: {self.name} does not read {suffix}; use {', '.join(self.layouts)}")
        if image_format == "webp" and suffix == ".glb" and not self.webp:
            raise NerfkitError(f"{path}: {self.name} does not read WebP textures; use --image-format jpeg or png")


_ONE_FILE = Layout("scenes", "scenes")
_SEPARATE = Layout("files", "files")
_VARIANTS = Layout("scene", "scene")  # a USDZ has a variant set of levels, and collision shapes that are not drawn

ENGINES: dict[str, Engine] = {
    # A GLB is imported by glTFast (docs.unity3d.com, com.unity.cloud.gltfast, "Editor Import"): x is negated, metres
    # stay; every glTF scene becomes a prefab and every mesh a sub-asset, and names make no LODGroup (its issue 20),
    # so levels in the same scene would all be drawn at once. UnityGLTF makes a LODGroup of MSFT_lod. In an OBJ, names
    # with _LOD0, _LOD1… do (Unity manual, "Import a mesh with LOD settings"), which is read by Unity itself, +Y up.
    # There are no names for colliders: the shapes are meshes for MeshCollider components. No WebP (glTFast issue 716).
    "unity": Engine(
        "Unity",
        {".glb": _ONE_FILE, ".obj": Layout("scene", "files"), ".usdz": _VARIANTS},
        collision_names="{name}_collider_{part:02}",
    ),
    # Interchange turns a GLB to +Z up, left-handed, and scales it to centimetres. UCX_NAME_00 is a convex shape of the
    # mesh NAME ("bImportCollisionAccordingToMeshName"; bOneConvexHullPerUCX). Levels are imported from files of their
    # own in the Static Mesh Editor (LOD Import; UStaticMeshEditorSubsystem::ImportLOD). An OBJ is neither turned nor
    # scaled: (x, y, z) becomes (x, -y, z) in centimetres. WebP textures are refused. In USD, a variant set LOD with
    # the variants LOD0, LOD1… gives levels.
    "unreal": Engine(
        "Unreal",
        {".glb": Layout("files", "scene"), ".obj": Layout("files", "scene"), ".usdz": _VARIANTS},
        collision_names="UCX_{name}_{part:02}",
        obj_up="z",
        obj_scale=100.0,
    ),
    # Suffixes of names are orders ("Node type customization using name suffixes"): -convcolonly makes a StaticBody3D
    # with a convex shape of a mesh and takes the mesh away. They work with -, $ and _ alike, in any case, so that an
    # asset "rock_col" needs something behind its name; the root node has the file's name, and what has the same gets a
    # number. Godot makes levels of detail itself at import ("Mesh level of detail"), so that one level is best; further
    # ones, in files of their own, are for visibility ranges. An OBJ is a lone mesh. EXT_texture_webp since 4.1.
    "godot": Engine(
        "Godot",
        {".glb": Layout("files", "scene"), ".obj": _SEPARATE},
        mesh_names="{name}_mesh",
        collision_names="{name}_{part:02}-convcolonly",
        default_levels=1,
        webp=True,
    ),
    # The importer of io_scene_gltf2 turns +Y to +Z, and puts scenes that are not the default one into collections
    # that are excluded from the view layer. OBJ: forward -Z, up Y by default; map_Bump becomes a normal map, but in
    # sRGB, which bends every normal. PLY: up Z.
    "blender": Engine(
        "Blender",
        {".glb": _ONE_FILE, ".obj": _SEPARATE, ".usdz": _VARIANTS, ".ply": _SEPARATE},
        obj_bump=False,
        webp=True,
    ),
}

ANY = Engine(
    "this reader",
    {".glb": _ONE_FILE, ".obj": _SEPARATE, ".usdz": _VARIANTS, ".ply": _SEPARATE},
    default_levels=1,
    obj_bump=False,
    webp=True,
)
"""Where no engine is named."""


def engine(name: str | None) -> Engine:
    """The engine of this name; None gives :data:`ANY`."""
    return ANY if name is None else ENGINES[name]
