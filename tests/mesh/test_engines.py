"""What Blender, Godot and OpenUSD make of our files."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import chair as chairs
import numpy as np
import outside
import pytest
import torch
from chair import SIZE, chair
from PIL import Image

from nerfkit import cameras
from nerfkit.mesh.assets import write

LOW, HIGH = [-0.25, -0.2, 0.0], [0.25, 0.2, 1.1]


@pytest.fixture
def view(tmp_path: Path) -> Path:
    """A camera that sees three sides of both boxes, in the asset frame."""
    eye, target, up = (torch.tensor(x, dtype=torch.float64) for x in ([[1.4, -1.2, 1.5]], [0, 0, 0.5], [0.0, 0, 1]))
    pose = cameras.look_at(eye, target, up)[0]
    path = tmp_path / "camera.json"
    path.write_text(json.dumps({"world_from_cam": pose.tolist(), "focal": 300, "size": 256}))
    return path


def compare_with_drawing(picture: Path, view: Path) -> None:
    """Where Blender shows the chair, and with which colours."""
    camera = json.loads(view.read_text())
    ours, covered = chairs.draw(np.array(camera["world_from_cam"]), camera["focal"], camera["size"])
    theirs = np.asarray(Image.open(picture)).astype(float)
    shown = theirs[..., 3] > 127
    assert covered.mean() > 0.1
    assert (covered & shown).sum() / (covered | shown).sum() > 0.995
    inside = covered & shown
    difference = np.abs(theirs[..., :3] - ours)[inside]
    assert difference.mean() < 2.5 and np.median(difference) <= 1  # the texture is 8 bits, edges are not smoothed here


@pytest.mark.slow
def test_blender_shows_a_glb_as_it_is_meant(tmp_path: Path, view: Path) -> None:
    write.write_asset(tmp_path / "chair.glb", chair(normal_map=True), "blender", "png")
    found = outside.blender("blender_import.py", tmp_path / "chair.glb", view, tmp_path / "picture.png")
    objects = found["objects"]
    assert set(objects) == {"chair_LOD0", "chair_LOD1", "chair_LOD2", "chair_collision_00", "chair_collision_01"}
    for level, faces in enumerate((384, 96, 24)):
        made = objects[f"chair_LOD{level}"]
        assert made["low"] == pytest.approx(LOW, abs=1e-6) and made["high"] == pytest.approx(HIGH, abs=1e-6)
        assert made["faces"] == faces and made["uv_layers"] == 1 and made["materials"] == ["chair"]
        assert 0 <= made["uv_range"][0] < made["uv_range"][1] <= 1
    assert [name for name, made in objects.items() if made["visible"]] == ["chair_LOD0"]
    assert objects["chair_LOD1"]["collections"] == ["chair_LOD1"]
    assert objects["chair_collision_00"]["collections"] == ["chair_collision"]
    assert objects["chair_collision_01"]["low"] == pytest.approx([-0.25, -0.2, 0.5], abs=1e-6)
    assert found["images"]["chair_base_color"]["size"] == [256, 64]
    assert found["images"]["chair_base_color"]["mean"] == pytest.approx(chairs.checkered().mean((0, 1)), abs=0.01)
    assert found["images"]["chair_base_color"]["space"] == "sRGB"
    assert found["images"]["chair_normal"]["space"] == "Non-Color"
    material = found["materials"]["chair"]
    assert (material["base_color"], material["normal"]) == ("chair_base_color", "chair_normal")
    assert material["metallic"] == 0 and material["roughness"] == pytest.approx(0.9)
    compare_with_drawing(tmp_path / "picture.png", view)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".obj", ".usdz"])
def test_blender_shows_an_obj_and_a_usdz_as_they_are_meant(tmp_path: Path, view: Path, suffix: str) -> None:
    write.write_asset(tmp_path / f"chair{suffix}", chair(2, normal_map=True), "blender", "png")
    found = outside.blender("blender_import.py", tmp_path / f"chair{suffix}", view, tmp_path / "picture.png")
    drawn = [made for made in found["objects"].values() if made["visible"]]
    assert len(drawn) == 1
    assert drawn[0]["low"] == pytest.approx(LOW, abs=1e-6) and drawn[0]["high"] == pytest.approx(HIGH, abs=1e-6)
    (material,) = found["materials"].values()
    assert material["base_color"] == "chair_base_color.png"
    normal = material["normal"]
    assert normal is None or found["images"][normal]["space"] == "Non-Color"
    compare_with_drawing(tmp_path / "picture.png", view)


@pytest.mark.slow
def test_blender_shows_the_colors_of_vertices(tmp_path: Path, view: Path) -> None:
    write.write_asset(tmp_path / "chair.glb", chair(1, textured=False), "unreal")
    found = outside.blender("blender_import.py", tmp_path / "chair.glb", view, tmp_path / "picture.png")
    assert set(found["objects"]) == {"chair", "UCX_chair_00", "UCX_chair_01"}
    assert len(found["objects"]["chair"]["colors"]) == 1 and not found["images"]
    assert found["objects"]["chair"]["high"] == pytest.approx(HIGH, abs=1e-6)


def test_godot_makes_collision_shapes_and_materials(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    write.write_asset(project / "chair.glb", chair(2, normal_map=True), "godot", "png")
    plain = replace(chair(1, textured=False, parts=0), name="plain")  # Godot 3 shares materials of one name
    write.write_asset(project / "plain.glb", plain, "godot", "png")
    found = outside.godot(project)
    assert set(found) == {"chair.glb", "chair_LOD1.glb", "plain.glb"}
    nodes = {node["name"]: node for node in found["chair.glb"]}
    assert list(nodes)[:2] == ["chair", "chair_mesh"]  # the root, and the only mesh
    assert [node["type"] for node in found["chair.glb"]].count("MeshInstance") == 1
    made = nodes["chair_mesh"]
    # +Y is up in Godot
    assert made["low"] == pytest.approx([-0.25, 0, -0.2], abs=1e-4)
    assert made["high"] == pytest.approx([0.25, 1.1, 0.2], abs=1e-4)
    assert made["texture"] == [256, 64] and made["normal_map"] is True
    assert made["metallic"] == 0 and made["roughness"] == pytest.approx(0.9)
    shapes = [node for node in found["chair.glb"] if node["type"] == "ConvexPolygonShape"]
    assert [shape["parent"] for shape in shapes] == ["chair_00", "chair_01"]
    assert shapes[0]["high"] == pytest.approx([0.25, 0.5, 0.2], abs=0.02)  # Godot rounds shapes a little
    assert shapes[1]["low"] == pytest.approx([-0.25, 0.5, -0.2], abs=0.02)
    assert (found["plain.glb"][1]["vertices"], found["plain.glb"][1]["texture"]) == (48, None)


@pytest.mark.parametrize("kind", ["textured", "colors"])
@pytest.mark.parametrize("levels", [1, 3])
def test_openusd_finds_nothing_wrong_with_a_usdz(tmp_path: Path, kind: str, levels: int) -> None:
    from pxr import Usd, UsdGeom, UsdPhysics, UsdValidation

    path = tmp_path / "chair.usdz"
    write.write_asset(path, chair(levels, kind == "textured", kind == "textured"), "unreal")
    stage = Usd.Stage.Open(str(path))
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    names = {validator.GetMetadata().name for validator in validators}
    assert {"usdUtilsValidators:UsdzPackageValidator", "usdUtilsValidators:RootPackageValidator"} <= names
    errors = UsdValidation.ValidationContext(validators).Validate(stage)
    assert [error.GetMessage() for error in errors] == []

    # what ARKit's Quick Look asks for
    assert UsdGeom.GetStageUpAxis(stage) == "Y" and UsdGeom.GetStageMetersPerUnit(stage) == 1
    root = stage.GetDefaultPrim()
    assert root.GetPath() == "/chair" and [prim.GetName() for prim in stage.GetPseudoRoot().GetChildren()] == ["chair"]
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        assert entries[0].filename == "chair.usdc"
        assert {Path(entry.filename).suffix for entry in entries[1:]} == (
            {".jpg", ".png"} if kind == "textured" else set()
        )
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        data = path.read_bytes()
        for entry in entries:  # the local header is 30 bytes, a name and a field that pads
            name, extra = (int.from_bytes(data[entry.header_offset + at : entry.header_offset + at + 2], "little")
                           for at in (26, 28))  # fmt: skip
            assert (entry.header_offset + 30 + name + extra) % 64 == 0

    variants = root.GetVariantSet("LOD")
    assert variants.GetVariantNames() == ([] if levels == 1 else [f"LOD{level}" for level in range(levels)])
    meshes = [prim for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)]
    drawn = [prim for prim in meshes if UsdGeom.Imageable(prim).ComputePurpose() != "guide"]
    assert [prim.GetName() for prim in drawn] == ["chair" if levels == 1 else "chair_LOD0"]
    assert len(meshes) == 3 and all(prim.HasAPI(UsdPhysics.CollisionAPI) for prim in meshes if prim not in drawn)
    if levels == 3:
        variants.SetVariantSelection("LOD2")
        coarse = next(prim for prim in stage.Traverse() if prim.GetName() == "chair_LOD2")
        assert len(UsdGeom.Mesh(coarse).GetFaceVertexCountsAttr().Get()) == 24
    bounds = UsdGeom.BBoxCache(Usd.TimeCode.Default(), ["default"]).ComputeWorldBound(root).ComputeAlignedRange()
    assert tuple(bounds.GetSize()) == pytest.approx((SIZE[0], SIZE[2], SIZE[1]), rel=1e-6)
