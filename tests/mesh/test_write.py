from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import analytic
import numpy as np
import outside
import pytest
import torch
import trimesh
from test_stages import ball_volume, turned

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.mesh.shape import clean, simplify
from nerfkit.mesh import geometry, requirements
from nerfkit.mesh.fusion import surface
from nerfkit.mesh.assets import write


@pytest.fixture(scope="module")
def ball() -> Mesh:
    mesh = simplify.simplify(clean.clean(surface.marching_cubes(ball_volume())), 3000)
    mesh.normals = geometry.vertex_normals(mesh)
    return mesh


def gltf_report(path: Path) -> dict[str, Any]:
    return outside.gltf_reports([path])[0]


@pytest.mark.parametrize("up", ["original", "y"])
def test_the_khronos_validator_finds_nothing_in_a_glb(ball: Mesh, tmp_path: Path, up: str) -> None:
    write.write(tmp_path / "ball.glb", ball, write.upright(turned()) if up == "y" else None)
    report = gltf_report(tmp_path / "ball.glb")
    assert report["issues"]["messages"] == []
    assert report["info"]["totalTriangleCount"] == len(ball.faces)
    assert report["info"]["totalVertexCount"] == len(ball.vertices)


def test_the_khronos_validator_would_find_something(ball: Mesh, tmp_path: Path) -> None:
    write.write(tmp_path / "ball.glb", ball)
    data = bytearray((tmp_path / "ball.glb").read_bytes())
    data[-4:] = b"\xfe\xff" * 2  # the last face points at no vertex
    (tmp_path / "ball.glb").write_bytes(data)
    assert gltf_report(tmp_path / "ball.glb")["issues"]["numErrors"] > 0


def test_glb_colors_are_linear_and_read_back(ball: Mesh, tmp_path: Path) -> None:
    write.write(tmp_path / "ball.glb", ball)
    loaded = trimesh.load(tmp_path / "ball.glb", force="mesh", process=False)
    assert np.array_equal(np.asarray(loaded.vertices, np.float32), ball.vertices)
    assert np.array_equal(loaded.faces, ball.faces)
    document, binary = glb_parts(tmp_path / "ball.glb")
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    view = document["bufferViews"][accessor["bufferView"]]
    raw = np.frombuffer(binary, "<u2", 4 * accessor["count"], view["byteOffset"]).reshape(-1, 4) / 65535
    assert (raw[:, 3] == 1).all()
    srgb = np.where(raw <= 0.0031308, raw * 12.92, 1.055 * raw ** (1 / 2.4) - 0.055)[:, :3] * 255
    assert ball.colors is not None and np.abs(srgb - ball.colors).max() < 0.51


def glb_parts(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + length]), data[28 + length :]


def test_upright_turns_the_scenes_up_to_plus_y(ball: Mesh, tmp_path: Path) -> None:
    scene_from_world = turned()
    world_up = scene_from_world.rotation.T @ torch.tensor([0.0, 0, 1], dtype=torch.float64)
    mesh = geometry.transformed(ball, scene_from_world.inverse())
    top_in_world = mesh.vertices[(mesh.vertices @ world_up.numpy()).argmax()]
    for suffix in write.FORMATS:
        path = tmp_path / f"ball{suffix}"
        write.write(path, mesh, write.upright(scene_from_world))
        loaded = write.read(path).vertices
        top = loaded[loaded[:, 1].argmax()]
        assert np.allclose(top, write.upright(scene_from_world) @ top_in_world, atol=1e-4), suffix


@pytest.mark.parametrize("suffix", [".ply", ".obj"])
def test_other_formats_keep_shape_colors_and_normals(ball: Mesh, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ball{suffix}"
    write.write(path, ball)
    loaded = trimesh.load(path, process=False, maintain_order=True)
    assert np.allclose(loaded.vertices, ball.vertices, atol=1e-6) and np.array_equal(loaded.faces, ball.faces)
    assert np.abs(loaded.visual.vertex_colors[:, :3].astype(int) - ball.colors).max() <= 1
    assert np.allclose(loaded.vertex_normals, ball.normals, atol=1e-3)
    assert write.read(path).faces.shape == ball.faces.shape


def test_normals_look_outwards(ball: Mesh) -> None:
    assert ball.normals is not None
    radial = ball.vertices / np.linalg.norm(ball.vertices, axis=1, keepdims=True)
    assert (ball.normals * radial).sum(1).min() > 0.97


def test_unknown_formats_and_unreadable_files(ball: Mesh, tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match=r"use \.glb, \.obj, \.usdz, \.ply"):
        write.write(tmp_path / "ball.stl9", ball)
    with pytest.raises(NerfkitError, match="no such file"):
        write.read(tmp_path / "none.glb")
    (tmp_path / "bad.glb").write_bytes(b"glTF nonsense")
    with pytest.raises(NerfkitError, match=r"bad\.glb: cannot be read"):
        write.read(tmp_path / "bad.glb")
    assert {path.name for path in tmp_path.iterdir()} == {"bad.glb"}


def test_a_missing_extra_is_named() -> None:
    with pytest.raises(NerfkitError, match=r"pip install nerfkit\[mesh\]"):
        requirements.require("no_such_package_of_the_extra")


def test_the_ball_of_these_tests_is_the_true_one(ball: Mesh) -> None:
    assert np.abs(np.linalg.norm(ball.vertices, axis=1) - analytic.RADIUS).max() < 0.004
