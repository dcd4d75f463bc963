"""Assets in the files that engines take, opened by other people's readers."""

from __future__ import annotations

import itertools
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import chair as chairs
import numpy as np
import outside
import pytest
import torch
import trimesh
from chair import SIZE, chair
from PIL import Image
from test_stages import turned

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh import geometry
from nerfkit.mesh.assets import asset, engines, ply, write
from nerfkit.mesh.assets.asset import Asset

ENGINES = [None, *engines.ENGINES]


def glb_json(path: Path) -> dict[str, Any]:
    data = path.read_bytes()
    document: dict[str, Any] = json.loads(data[20 : 20 + struct.unpack_from("<I", data, 12)[0]])
    return document


def test_the_khronos_validator_finds_nothing_in_any_combination(tmp_path: Path) -> None:
    """Only that it doesn't know MSFT_lod and EXT_texture_webp."""
    files: list[Path] = []
    kinds = itertools.product(ENGINES, (1, 3), (0, 2), ("textured", "normals", "colors"), ("jpeg", "png", "webp"))
    for index, (engine, levels, parts, kind, image_format) in enumerate(kinds):
        if (image_format == "webp" and not engines.engine(engine).webp) or (kind == "colors" and image_format != "png"):
            continue
        made = chair(levels, kind != "colors", kind == "normals", parts)
        files += write.write_asset(tmp_path / f"{index}.glb", made, engine, image_format)  # type: ignore[arg-type]
    reports = outside.gltf_reports(files)
    assert len(reports) == len(files) > 100
    notes = set()
    for path, report in zip(files, reports, strict=True):
        issues = report["issues"]
        assert (issues["numErrors"], issues["numWarnings"], issues["numHints"]) == (0, 0, 0), (path, issues["messages"])
        notes |= {(message["code"], message["message"]) for message in issues["messages"]}
    assert {code for code, _ in notes} == {"UNSUPPORTED_EXTENSION"}, notes


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("unity", {"chair.glb": {"": ["chair_LOD0"], "chair_LOD1": ["chair_LOD1"], "chair_LOD2": ["chair_LOD2"],
                                 "chair_collision": ["chair_collider_00", "chair_collider_01"]}}),
        ("unreal", {"chair.glb": {"": ["chair", "UCX_chair_00", "UCX_chair_01"]},
                    "chair_LOD1.glb": {"": ["chair_LOD1"]}, "chair_LOD2.glb": {"": ["chair_LOD2"]}}),
        ("godot", {"chair.glb": {"": ["chair_mesh", "chair_00-convcolonly", "chair_01-convcolonly"]},
                   "chair_LOD1.glb": {"": ["chair_LOD1_mesh"]}, "chair_LOD2.glb": {"": ["chair_LOD2_mesh"]}}),
        ("blender", {"chair.glb": {"": ["chair_LOD0"], "chair_LOD1": ["chair_LOD1"], "chair_LOD2": ["chair_LOD2"],
                                   "chair_collision": ["chair_collision_00", "chair_collision_01"]}}),
    ],
)  # fmt: skip
def test_levels_and_collision_shapes_lie_where_an_engine_looks(
    tmp_path: Path, engine: str, expected: dict[str, dict[str, list[str]]]
) -> None:
    files = write.write_asset(tmp_path / "chair.glb", chair(), engine)
    assert [path.name for path in files] == list(expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(expected)
    for path in files:
        document = glb_json(path)
        names = [node["name"] for node in document["nodes"]]
        assert [document["meshes"][node["mesh"]]["name"] for node in document["nodes"]] == names
        scenes = {scene["name"]: [names[node] for node in scene["nodes"]] for scene in document["scenes"]}
        assert list(scenes)[document["scene"]] == path.stem
        scenes = {"" if name == path.stem else name: nodes for name, nodes in scenes.items()}
        assert scenes == expected[path.name]


def test_levels_in_one_file_are_tied_together(tmp_path: Path) -> None:
    write.write_asset(tmp_path / "chair.glb", chair(), "unity")
    document = glb_json(tmp_path / "chair.glb")
    first, *others = document["nodes"]
    assert first["extensions"] == {"MSFT_lod": {"ids": [1, 2]}}
    assert first["extras"] == {"MSFT_screencoverage": [0.25, 0.0625, 0.0]}
    assert document["extensionsUsed"] == ["MSFT_lod"] and "extensionsRequired" not in document
    assert not any("extensions" in node for node in others)
    counts = [document["accessors"][mesh["primitives"][0]["indices"]]["count"] // 3 for mesh in document["meshes"][:3]]
    assert counts == [12 * 2 * 16, 12 * 2 * 4, 12 * 2]
    assert len(document["images"]) == 1  # which the levels share


@pytest.mark.parametrize("engine", ["unity", "unreal", "godot", "blender"])
@pytest.mark.parametrize("suffix", engines.FORMATS)
def test_the_chair_stands_upright_in_every_file(tmp_path: Path, engine: str, suffix: str) -> None:
    target = engines.engine(engine)
    path = tmp_path / f"chair{suffix}"
    if suffix not in target.layouts:
        with pytest.raises(NerfkitError, match=f"{target.name} does not read {suffix}"):
            write.write_asset(path, chair(), engine)
        return
    write.write_asset(path, replace(chair(1), collision=()), engine)
    vertices = write.read(path).vertices
    if suffix == ".ply" or (suffix == ".obj" and engine == "unreal"):
        in_asset = vertices / (100 if suffix == ".obj" else 1)
    else:
        in_asset = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], 1)
    assert np.ptp(in_asset, axis=0) == pytest.approx(SIZE, rel=1e-5)
    assert in_asset.min(0) == pytest.approx([-0.25, -0.2, 0], abs=1e-6)
    top = in_asset[in_asset[:, 2] > 1.0]
    assert top[:, 0].max() == pytest.approx(-0.15, abs=1e-6)  # the rest is where it was: nothing is mirrored
    loaded = trimesh.load(path, force="mesh", process=False) if suffix != ".usdz" else None
    if loaded is not None:
        assert loaded.volume > 0


def test_a_glb_holds_texture_uvs_normals_and_material(tmp_path: Path) -> None:
    made = chair(1, normal_map=True)
    write.write_asset(tmp_path / "chair.glb", made, "unity", "png")
    loaded = trimesh.load(tmp_path / "chair.glb", process=False).geometry["chair"]
    assert made.levels[0].uvs is not None
    assert np.allclose(loaded.visual.uv, made.levels[0].uvs, atol=1e-6)  # trimesh turns v upwards again
    material = loaded.visual.material
    assert np.array_equal(np.asarray(material.baseColorTexture.convert("RGB")), chairs.checkered())
    assert np.array_equal(np.asarray(material.normalTexture.convert("RGB")), chairs.bump_map())
    assert material.metallicFactor == 0 and material.roughnessFactor == 0.9
    assert np.allclose(loaded.vertex_normals[:, 1], made.levels[0].normals[:, 2])  # type: ignore[index]
    document = glb_json(tmp_path / "chair.glb")
    assert [image["name"] for image in document["images"]] == ["chair_base_color", "chair_normal"]
    assert "alphaMode" not in document["materials"][0]  # opaque
    assert document["asset"]["extras"] == {"metric": True}
    assert "COLOR_0" not in document["meshes"][0]["primitives"][0]["attributes"]


def test_lossy_textures_stay_close_and_are_declared(tmp_path: Path) -> None:
    for image_format, kind in (("jpeg", "image/jpeg"), ("webp", "image/webp")):
        write.write_asset(tmp_path / "chair.glb", chair(1), "blender", image_format)  # type: ignore[arg-type]
        document = glb_json(tmp_path / "chair.glb")
        assert document["images"][0]["mimeType"] == kind
        assert document.get("extensionsRequired") == (["EXT_texture_webp"] if image_format == "webp" else None)
        loaded = trimesh.load(tmp_path / "chair.glb", process=False).geometry["chair"]
        picture = np.asarray(loaded.visual.material.baseColorTexture.convert("RGB")).astype(int)
        assert np.abs(picture - chairs.checkered()).mean() < 3


def test_many_vertices_have_wide_indices(tmp_path: Path) -> None:
    for count, component in ((65535, 5123), (65536, 5125)):
        vertices = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
        faces = np.array([[0, 1, count - 1]], np.int32)
        write.write_asset(tmp_path / "many.glb", Asset("many", [Mesh(vertices, faces)]))
        document = glb_json(tmp_path / "many.glb")
        assert document["accessors"][-1]["componentType"] == component
        assert outside.gltf_reports([tmp_path / "many.glb"])[0]["issues"]["numErrors"] == 0


def test_an_obj_has_its_material_and_images_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "my chair.obj"
    files = write.write_asset(path, chair(2, normal_map=True), "blender", "png")
    assert [file.name for file in files] == [
        "my chair.obj", "my_chair.mtl", "my_chair_base_color.png", "my_chair_normal.png",
        "my chair_LOD1.obj", "my_chair_LOD1.mtl", "my_chair_LOD1_base_color.png", "my_chair_LOD1_normal.png",
        "my chair_collision.obj",
    ]  # fmt: skip
    loaded = trimesh.load(path, process=False, maintain_order=True)
    assert np.array_equal(np.asarray(loaded.visual.material.image.convert("RGB")), chairs.checkered())
    assert np.allclose(loaded.visual.uv, chair(2).levels[0].uvs, atol=1e-6)  # type: ignore[arg-type]
    material = (tmp_path / "my_chair.mtl").read_text()
    assert "\nnorm my_chair_normal.png" in material and "map_Bump" not in material
    write.write_asset(path, chair(2, normal_map=True), "unity", "png")
    assert "\nmap_Bump my_chair_normal.png" in (tmp_path / "my_chair.mtl").read_text()
    assert trimesh.load(tmp_path / "my chair_collision.obj", force="mesh").body_count == 2


def test_an_obj_for_unity_and_unreal_names_its_objects(tmp_path: Path) -> None:
    for engine, expected in (
        ("unity", ["chair_LOD0", "chair_LOD1"]),
        ("unreal", ["chair", "UCX_chair_00", "UCX_chair_01"]),
    ):
        write.write_asset(tmp_path / "chair.obj", chair(2), engine)
        lines = (tmp_path / "chair.obj").read_text().splitlines()
        assert [line[2:] for line in lines if line.startswith("o ")] == expected
        assert [line[2:] for line in lines if line.startswith("g ")] == expected


def test_a_ply_gets_the_textures_colors(tmp_path: Path) -> None:
    made = chair(1)
    write.write_asset(tmp_path / "chair.ply", made, "blender")
    loaded = trimesh.load(tmp_path / "chair.ply", process=False)
    colors = ply.vertex_colors(made.levels[0])
    assert colors is not None and np.array_equal(loaded.visual.vertex_colors[:, :3], colors)
    assert len(np.unique(colors, axis=0)) >= 40  # twelve sides with four corners each


def test_nothing_is_left_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write.write_asset(tmp_path / "chair.obj", chair(1), "blender")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def broken(*_: object) -> bytes:
        raise ValueError("broken")

    monkeypatch.setattr("nerfkit.mesh.assets.write.documents", broken)
    with pytest.raises(ValueError, match="broken"):
        write.write_asset(tmp_path / "chair.obj", chair(2), "blender")
    monkeypatch.undo()
    monkeypatch.setattr("nerfkit.mesh.assets.obj._object_lines", broken)
    with pytest.raises(ValueError, match="broken"):
        write.write_asset(tmp_path / "chair.obj", chair(2), "blender")
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "engine", "image_format", "words"),
    [
        ("a.glb", "unity", "webp", "a.glb: Unity does not read WebP textures; use --image-format jpeg or png"),
        ("a.obj", "blender", "webp", "a.obj: .obj files have no WebP textures; use --image-format jpeg or png"),
        ("a.usdz", None, "webp", "a.usdz: .usdz files have no WebP textures; use --image-format jpeg or png"),
        ("a.ply", "unreal", "jpeg", "a.ply: Unreal does not read .ply; use .glb, .obj, .usdz"),
        ("a.fbx", "unreal", "jpeg", "a.fbx: cannot write a mesh as .fbx; use .glb, .obj, .usdz, .ply"),
    ],
)
def test_what_an_engine_does_not_read_is_refused(
    tmp_path: Path, name: str, engine: str | None, image_format: Any, words: str
) -> None:
    with pytest.raises(NerfkitError) as caught:
        write.write_asset(tmp_path / name, chair(1), engine, image_format)
    assert str(caught.value) == f"{tmp_path}/{words}" and not list(tmp_path.iterdir())


def test_names_are_made_safe() -> None:
    assert asset.safe_name("my chair (2).v1") == "my_chair_2_v1"
    assert asset.safe_name("3d") == "_3d" and asset.safe_name("äö") == "mesh"


def test_the_asset_frame_is_upright_with_its_pivot_at_the_base() -> None:
    scene_from_world = turned()
    mesh = geometry.transformed(chair(1).levels[0], scene_from_world)  # anywhere, at the scene's scale
    made = asset.place("chair", [mesh], [], asset.asset_frame(scene_from_world, mesh))
    vertices = made.levels[0].vertices
    low, high = vertices.min(0), vertices.max(0)
    assert low[2] == pytest.approx(0, abs=1e-6)
    assert (low + high)[:2] == pytest.approx([0, 0], abs=1e-6)
    edges = [np.linalg.norm(m.vertices[m.faces[:, 0]] - m.vertices[m.faces[:, 1]], axis=1)
             for m in (made.levels[0], chair(1).levels[0])]  # fmt: skip
    assert np.allclose(edges[0], edges[1], rtol=1e-4)  # the world's unit
    assert made.levels[0].texture is not None and made.levels[0].normal_map is mesh.normal_map
    together = asset.asset_frame(scene_from_world, mesh, pivot=False)
    world_origin = scene_from_world.points(torch.zeros(3, dtype=torch.float64))
    assert together.points(world_origin).abs().max() < 1e-9
    back = asset.world_frame(scene_from_world).out_from_scene.compose(scene_from_world)
    assert torch.allclose(back.matrix, torch.eye(4, dtype=torch.float64), atol=1e-9)


def test_the_chair_drawn_here_is_the_one_in_the_file() -> None:
    """The drawing that Blender's is compared with: straight down onto the seat, the texture's patch of its top side."""
    looking_down = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1]])
    picture, covered = chairs.draw(looking_down, 400, 101)
    assert covered.any() and not covered.all()
    patch = chairs.checkered()[: chairs.CELL, 5 * chairs.CELL : 6 * chairs.CELL].astype(int)
    assert np.abs(picture[50, 50] - patch[chairs.CELL // 2, chairs.CELL // 2]).max() <= 3
    mesh = chair(1).levels[0]
    assert mesh.uvs is not None and mesh.texture is not None
    top = np.flatnonzero((mesh.vertices[:, 2] == 0.5) & (mesh.normals[:, 2] > 0.5))  # type: ignore[index]
    corner = top[np.argmax(mesh.vertices[top].sum(1))]  # +x +y of the seat
    assert mesh.uvs[corner] == pytest.approx([(6 - 0.5 / 32) / 8, 1 - 0.5 / 64], abs=1e-6)
    Image.fromarray(mesh.texture)  # [H, W, 3] uint8
