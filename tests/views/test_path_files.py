"""Camera paths in files: nerfstudio's JSON, Blender's glTF, lists of poses; frames, and damage of every kind."""

from __future__ import annotations

import base64
import json
import math
import random
import re
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_camera_path import uneven
from torch import Tensor
from world import ring, scene_of

sys.path.insert(0, str(Path(__file__).parents[1] / "mesh"))
import outside

from nerfkit.cameras import project
from nerfkit.contracts import Mesh
from nerfkit.data.scene import Scene
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.mesh.assets import write
from nerfkit.mesh.assets.asset import asset_frame, place, world_frame
from nerfkit.views.paths import CameraPath, read_path, write_path
from nerfkit.views.paths.coordinate_frames import nerfstudio_from_world

FLIP = np.diag([1.0, -1, -1, 1])
SIZE = (64, 48)


def turned(angles: tuple[float, float, float]) -> Tensor:
    from scipy.spatial.transform import Rotation

    return torch.from_numpy(Rotation.from_euler("xyz", angles).as_matrix())


@pytest.fixture
def scene() -> Scene:
    """Eight photos, in a world that is turned, moved and of another scale."""
    made = scene_of(ring(8))
    made.scene_from_world = Similarity(0.3, turned((0.4, -1.0, 2.0)), torch.tensor([0.5, -0.2, 0.9]))
    return made


def same(path: CameraPath, other: CameraPath, frames: int = 40) -> None:
    a, b = path.sample(frames, SIZE), other.sample(frames, SIZE)
    torch.testing.assert_close(a.world_from_cam, b.world_from_cam, atol=2e-5, rtol=0)
    torch.testing.assert_close(a.intrinsics, b.intrinsics, atol=1e-3, rtol=1e-5)


def save(file: Path, data: Any) -> Path:
    file.write_text(data if isinstance(data, str) else json.dumps(data))
    return file


# --- nerfstudio -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", ["world", "scene", "nerfstudio"])
@pytest.mark.parametrize("loop", [False, True])
def test_what_is_written_is_read_again(tmp_path: Path, scene: Scene, frame: Any, loop: bool) -> None:
    path = uneven(loop)
    eased = replace(path.keyframes[1], easing="ease")
    path = replace(path, keyframes=(path.keyframes[0], eased, *path.keyframes[2:]), tension=0.3, ease=True, fps=25.0)
    write_path(tmp_path / "path.json", path, scene, frame)
    again = read_path(tmp_path / "path.json", scene)
    same(path, again)
    for name in ("loop", "fps", "tension", "constant_speed", "ease", "seconds", "frames"):
        assert getattr(again, name) == pytest.approx(getattr(path, name))
    assert [key.easing for key in again.keyframes] == [key.easing for key in path.keyframes]


def test_nerfstudio_reads_what_is_written(tmp_path: Path, scene: Scene) -> None:
    """By the fields and formulas of its get_path_from_json: row by row, OpenGL's axes, vertical angle in degrees."""
    path = uneven()
    write_path(tmp_path / "path.json", path, scene, "scene", (640, 360))
    data = json.loads((tmp_path / "path.json").read_text())
    assert (data["render_width"], data["render_height"], data["fps"], data["seconds"]) == (640, 360, 30, 5)
    assert len(data["camera_path"]) == int(data["fps"] * data["seconds"])
    cameras = path.sample(path.frames, (640, 360))
    for index in (0, 70, 149):
        frame = data["camera_path"][index]
        world_from_cam = np.array(frame["camera_to_world"]).reshape(4, 4) @ FLIP
        np.testing.assert_allclose(world_from_cam, cameras.world_from_cam[index], atol=1e-6)
        focal = 0.5 * 360 / math.tan(0.5 * math.radians(frame["fov"]))
        assert focal == pytest.approx(float(cameras.intrinsics[index, 1]), rel=1e-5)
        assert frame["aspect"] == pytest.approx(640 / 360)
    transitions = [key["override_transition_sec"] for key in data["keyframes"][1:]]
    assert np.cumsum(transitions) == pytest.approx([key.time for key in path.keyframes[1:]])
    for key, ours in zip(data["keyframes"], path.keyframes, strict=True):
        np.testing.assert_allclose(np.array(key["matrix"]).reshape(4, 4) @ FLIP, ours.world_from_cam, atol=1e-9)


def by_nerfstudio(poses: Tensor, frames: int, **more: Any) -> dict[str, Any]:
    """A file as nerfstudio's viewer saves it, in the scene frame."""
    gl = (poses.double().numpy() @ FLIP).reshape(len(poses), 16).tolist()
    keys = [{"matrix": m, "fov": 50.0 + i, "aspect": 1.33, "override_transition_enabled": False,
             "override_transition_sec": None} for i, m in enumerate(gl)]  # fmt: skip
    cameras = [{"camera_to_world": gl[i % len(gl)], "fov": 60.0, "aspect": 1.33} for i in range(frames)]
    return {
        "default_fov": 50.0, "default_transition_sec": 2.0, "keyframes": keys, "camera_type": "perspective",
        "render_height": 1080, "render_width": 1920, "fps": 24, "seconds": frames / 24, "is_cycle": False,
        "smoothness_value": 0.0, "camera_path": cameras,
    } | more  # fmt: skip


def poses_of(scene: Scene) -> Tensor:
    return torch.cat([view.camera.world_from_cam for view in scene.views]).double()


def test_its_frames_are_taken_as_they_are_or_its_keyframes(tmp_path: Path, scene: Scene) -> None:
    poses = poses_of(scene)
    data = by_nerfstudio(poses, 48)
    data["keyframes"][3] |= {"override_transition_enabled": True, "override_transition_sec": 5.0}
    file = save(tmp_path / "ns.json", data)
    exact = read_path(file, scene, "scene")
    assert (exact.frames, exact.fps, exact.size) == (48, 24, (1920, 1080))
    cameras = exact.sample(48, (192, 108))
    torch.testing.assert_close(cameras.world_from_cam.double(), poses.repeat(6, 1, 1), atol=1e-6, rtol=0)
    assert float(cameras.intrinsics[0, 1]) == pytest.approx(54 / math.tan(math.radians(30)), rel=1e-5)
    keys = read_path(file, scene, "scene", prefer="keyframes")
    assert [key.time for key in keys.keyframes] == [0, 2, 4, 9, 11, 13, 15, 17]
    assert [round(math.degrees(key.fov)) for key in keys.keyframes] == list(range(50, 58))
    looped = read_path(save(file, by_nerfstudio(poses, 0, is_cycle=True)), scene, "scene")
    assert looped.loop and looped.after == 2.0 and looped.seconds == 16


def test_the_older_viewers_matrices_go_column_by_column(tmp_path: Path, scene: Scene) -> None:
    data = by_nerfstudio(poses_of(scene), 0, seconds=7.0)
    for key in data["keyframes"]:
        key["matrix"] = json.dumps(np.array(key["matrix"]).reshape(4, 4).T.reshape(-1).tolist())
        del key["override_transition_enabled"], key["override_transition_sec"]
    del data["default_transition_sec"]
    path = read_path(save(tmp_path / "old.json", data), scene, "scene")
    torch.testing.assert_close(torch.stack([key.world_from_cam for key in path.keyframes]), poses_of(scene))
    assert [key.time for key in path.keyframes] == pytest.approx(range(8))


def test_nerfstudios_frame_is_by_its_dataparser_transforms_or_its_defaults(tmp_path: Path, scene: Scene) -> None:
    ours = uneven()
    ns_from_world = Similarity(0.7, turned((1.0, 0.3, -0.4)), torch.tensor([0.1, 0.2, 0.3]))
    ns_from_scene = ns_from_world.compose(scene.scene_from_world.inverse())
    poses = ns_from_scene.poses(torch.stack([key.world_from_cam for key in ours.keyframes]))
    (tmp_path / "camera_paths").mkdir()
    file = save(tmp_path / "camera_paths" / "ns.json", by_nerfstudio(poses, 6))
    matrix = torch.cat([ns_from_world.rotation, ns_from_world.translation[:, None] / 0.7], 1)
    parser = save(tmp_path / "dataparser_transforms.json", {"transform": matrix.tolist(), "scale": 0.7})
    for frame in ("auto", str(parser)):
        path = read_path(file, scene, frame)
        for key, expected in zip(path.keyframes, ours.keyframes, strict=True):
            torch.testing.assert_close(key.world_from_cam, expected.world_from_cam)
    parser.unlink()
    usual = nerfstudio_from_world(scene).compose(scene.scene_from_world.inverse())
    in_nerfstudio = usual.poses(poses_of(scene))
    torch.testing.assert_close(in_nerfstudio[:, :3, 3].mean(0), torch.zeros(3).double(), atol=1e-9, rtol=0)
    assert float(in_nerfstudio[:, :3, 3].abs().max()) == pytest.approx(1)
    up = -in_nerfstudio[:, :3, 1].mean(0)
    torch.testing.assert_close(up / up.norm(), torch.tensor([0.0, 0, 1]).double(), atol=1e-9, rtol=0)
    path = read_path(save(file, by_nerfstudio(in_nerfstudio, 8)), scene)
    torch.testing.assert_close(path.keyframes[5].world_from_cam, poses_of(scene)[5], atol=1e-6, rtol=0)


# --- Blender ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("engine", "up"), [(None, False), ("blender", True)])
def test_a_camera_laid_around_the_mesh_in_blender_sees_the_same(
    tmp_path: Path, scene: Scene, engine: str | None, up: bool
) -> None:
    corners = np.array([[-0.2, 0.1, 0], [0.3, 0, 0.1], [0, 0.4, 0], [0.1, 0.1, 0.5]], np.float32)
    mesh = Mesh(corners, np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]))
    world = scene.scene_from_world
    frame = asset_frame(world, mesh) if engine else world_frame(world).out_from_scene
    upright = write.upright(world) if up else None
    write.write_asset(tmp_path / "thing.glb", place("thing", [mesh], [], frame), engine, yup_from_asset=upright)
    gltf_from_scene = write.gltf_frame(frame, upright, engine)
    save(tmp_path / "thing.json", {"gltf_from_scene": gltf_from_scene.to_json()})
    found = outside.blender("blender_camera.py", tmp_path / "thing.glb", tmp_path / "camera.glb", "pointer")

    path = read_path(tmp_path / "camera.glb", scene, str(tmp_path / "thing.glb") if engine else "auto")
    seen = np.array(found["seen"])  # [F, V, 2], in the order of the imported vertices
    assert (path.frames, path.fps) == (len(seen), 24)
    cameras = path.sample(path.frames, (640, 360))
    pixels, depth = project(cameras, torch.from_numpy(corners))
    assert bool((depth > 0).all()) and np.ptp(seen[:, :, 0]) > 0.1
    away = np.linalg.norm(pixels.numpy()[:, :, None] - (seen * [640, 360])[:, None], axis=-1)  # [F, V, V of Blender]
    assert away.min(2).max() < 0.1  # pixels
    fovs = torch.rad2deg(2 * torch.atan(180 / cameras.intrinsics[:, 1]))
    np.testing.assert_allclose(fovs, found["fovs"], atol=0.01)
    same(path, read_path(tmp_path / "camera.glb", scene, str(tmp_path / "thing.json")))


@pytest.mark.parametrize(("engine", "up"), [(None, False), (None, True), ("unity", False), ("blender", True)])
def test_a_mesh_says_where_its_glb_has_the_scene(tmp_path: Path, scene: Scene, engine: str | None, up: bool) -> None:
    corners = np.array([[-0.2, 0.1, 0], [0.3, 0, 0.1], [0, 0.4, 0], [0.1, 0.1, 0.5]], np.float32)
    mesh = Mesh(corners, np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]))
    world = scene.scene_from_world
    frame = asset_frame(world, mesh) if engine else world_frame(world).out_from_scene
    upright = write.upright(scene.scene_from_world) if up else None
    write.write_asset(tmp_path / "m.glb", place("m", [mesh], [], frame), engine, yup_from_asset=upright)
    in_file = np.unique(write.read(tmp_path / "m.glb").vertices.round(4), axis=0)
    expected = write.gltf_frame(frame, upright, engine).points(torch.from_numpy(corners)).numpy()
    np.testing.assert_allclose(in_file, np.unique(expected.round(4), axis=0), atol=2e-4)


def gltf(**changes: Any) -> dict[str, Any]:
    """A camera that goes from (0, 0, 2) to (1, 0, 2) in a second."""
    data = np.array([0, 0.5, 1], "<f4").tobytes() + np.array([[0, 0, 2], [0.7, 0, 2], [1, 0, 2]], "<f4").tobytes()
    views = [{"buffer": 0, "byteLength": 12}, {"buffer": 0, "byteOffset": 12, "byteLength": 36}]
    accessors = [
        {"bufferView": 0, "componentType": 5126, "count": 3, "type": "SCALAR"},
        {"bufferView": 1, "componentType": 5126, "count": 3, "type": "VEC3"},
    ]
    animation = {
        "channels": [{"sampler": 0, "target": {"node": 1, "path": "translation"}}],
        "samplers": [{"input": 0, "output": 1, "interpolation": "LINEAR"}],
    }
    return {
        "asset": {"version": "2.0"},
        "nodes": [{"children": [1], "scale": [2, 2, 2]}, {"camera": 0, "name": "cam"}],
        "cameras": [{"type": "perspective", "perspective": {"yfov": 0.8}}],
        "animations": [animation], "accessors": accessors, "bufferViews": views,
        "buffers": [{"byteLength": len(data), "uri": "data:;base64," + base64.b64encode(data).decode()}],
    } | changes  # fmt: skip


def as_glb(document: dict[str, Any], binary: bytes = b"") -> bytes:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text
    body += struct.pack("<I4s", len(binary), b"BIN\0") + binary if binary else b""
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


@pytest.mark.parametrize(("interpolation", "middle"), [("LINEAR", 0.7), ("STEP", 0.7)])
def test_gltf_nodes_and_animations(tmp_path: Path, scene: Scene, interpolation: str, middle: float) -> None:
    document = gltf()
    document["animations"][0]["samplers"][0]["interpolation"] = interpolation
    path = read_path(save(tmp_path / "camera.gltf", document), scene, "scene")
    keys = path.keyframes
    assert path.fps == 30 and np.allclose([key.time for key in keys], np.arange(31) / 30)  # not two frames a second
    assert {key.easing for key in keys} == {"hold" if interpolation == "STEP" else "linear"}
    assert float(keys[6].world_from_cam[0, 3]) == pytest.approx(0 if interpolation == "STEP" else 0.4 * 1.4, abs=1e-6)
    places = torch.stack([keys[index].world_from_cam[:3, 3] for index in (0, 15, 30)])
    torch.testing.assert_close(
        places, torch.tensor([[0, 0, 4], [2 * middle, 0, 4], [2.0, 0, 4]]).double(), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        path.keyframes[0].world_from_cam[:3, :3], torch.diag(torch.tensor([1.0, -1, -1]).double())
    )
    assert path.keyframes[0].fov == 0.8


def test_still_cameras_of_a_gltf_are_keyframes_by_name(tmp_path: Path, scene: Scene) -> None:
    nodes = [{"camera": 0, "name": "b", "translation": [1, 0, 0]}, {"camera": 0, "name": "a"}]
    path = read_path(save(tmp_path / "stills.gltf", gltf(nodes=nodes, animations=[])), scene, "scene")
    assert [float(key.world_from_cam[0, 3]) for key in path.keyframes] == [0, 1]
    assert [key.time for key in path.keyframes] == [0, 1]


# --- lists of poses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["matrices", "objects", "transforms", "tum", "colmap"])
def test_lists_of_poses_are_in_the_world(tmp_path: Path, scene: Scene, kind: str) -> None:
    from scipy.spatial.transform import Rotation

    expected = poses_of(scene)
    world = scene.scene_from_world.inverse().poses(expected).numpy()
    if kind == "matrices":
        file = save(tmp_path / "p.json", world[:, :3].tolist())
    elif kind == "objects":
        file = save(
            tmp_path / "p.json", [{"world_from_cam": p.tolist(), "fov": 30, "time": i} for i, p in enumerate(world)]
        )
    elif kind == "transforms":
        swap = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])  # nerfstudio's applied_transform
        frames = [
            {"file_path": f"{i}.png", "transform_matrix": (swap @ p @ FLIP).tolist()} for i, p in enumerate(world)
        ]
        whole = {"fl_y": 500, "h": 480, "applied_transform": swap[:3].tolist(), "frames": frames}
        file = save(tmp_path / "transforms.json", whole)
    else:
        lines = ["# a comment"]
        for index, pose in enumerate(world):
            matrix = np.linalg.inv(pose) if kind == "colmap" else pose
            x, y, z, w = (repr(float(q)) for q in Rotation.from_matrix(matrix[:3, :3]).as_quat())
            place = " ".join(map(repr, matrix[:3, 3].tolist()))
            if kind == "colmap":
                name = f"{index}" if index == 3 else f"{index} of a walk.jpg"  # COLMAP has any
                lines += [f"{index + 1} {w} {x} {y} {z} {place} 1 {name}", "1.5 2.5 -1 " * 5]
            else:
                lines.append(f"{100 + index / 10} {place} {x} {y} {z} {w}")
        file = save(tmp_path / "p.txt", "\n".join(lines) + "\n")
    path = read_path(file, scene)
    torch.testing.assert_close(torch.stack([key.world_from_cam for key in path.keyframes]), expected, atol=1e-6, rtol=0)
    photos = 2 * math.atan(24 / (64 * 1.25))
    fov = {"objects": math.radians(30), "transforms": 2 * math.atan(240 / 500)}.get(kind, photos)
    assert path.keyframes[0].fov == pytest.approx(fov)
    step = {"objects": 1.0, "tum": 0.1}.get(kind, 1 / 30)
    assert [key.time for key in path.keyframes] == pytest.approx([step * i for i in range(8)])


# --- damage -----------------------------------------------------------------------------------------------

EYE = np.eye(4).tolist()
HUGE = {"bufferView": 0, "componentType": 5126, "count": 1 << 60, "type": "VEC3"}
NS = {"fps": 24, "camera_path": [{"camera_to_world": np.eye(4).reshape(-1).tolist(), "fov": 50}]}


@pytest.mark.parametrize(("step", "frames", "fps"), [(1.0, 91, 30), (0.1, 4, 10), (1 / 24, 4, 24), (0.01, 2, 60)])
def test_sparse_poses_are_keyframes(tmp_path: Path, scene: Scene, step: float, frames: int, fps: float) -> None:
    poses = poses_of(scene)[:4].tolist()
    file = save(tmp_path / "p.json", [{"world_from_cam": p, "time": i * step} for i, p in enumerate(poses)])
    path = read_path(file, scene, "scene")
    assert (path.frames, round(path.fps, 6)) == (frames, fps)
    last = path.sample(path.frames, (8, 8)).world_from_cam[-1].double()
    torch.testing.assert_close(last, poses_of(scene)[3], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("hello there", "no camera path of a known format"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "has no poses"),
        ("{}", "a JSON without"),
        ("1 2 3 4 5 6 7 8\n1 2", "pose 1 has 2 numbers"),
        ("0 0 0 0 0 0 0 0", "quaternion of no length"),
        ("1 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 1", "times of its keyframes do not rise"),
        ("-1e9 0 0 0 0 0 0 1\n1e-9 0 0 0 0 0 0 1\n2e-9 0 0 0 0 0 0 1", "times of its keyframes do not rise"),
        ([[1, 2, 3]], "pose 0 is no matrix"),
        ([EYE, (np.diag([1, 1, 2, 1.0])).tolist()], "pose 1 is not a rotation"),
        ([np.diag([1, 1, -1, 1.0]).tolist()], "is mirrored"),
        ([np.zeros((4, 4)).tolist()], "is not a rotation"),
        ("[[[NaN,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]]", "not finite"),
        ([{"world_from_cam": EYE, "fov": 180}], "fov of pose 0 must be a number between 0 and 180"),
        ([{"pose": EYE}], "has no 'world_from_cam'"),
        ({"frames": [{"file_path": "a"}]}, "has no 'transform_matrix'"),
        (NS | {"fps": 0}, "fps must be a number"),
        (NS | {"fps": "fast"}, "fps must be a number"),
        (NS | {"camera_path": []}, "has no frames"),
        (NS | {"camera_path": 7}, "has no frames"),
        (NS | {"camera_path": [{"fov": 50}]}, "has no 'camera_to_world'"),
        (NS | {"camera_type": "x-ray"}, "camera_type 'x-ray' is not known"),
        (NS | {"render_width": 20000, "render_height": 2}, "render_width must be a number"),
        (NS | {"keyframes": [{"matrix": "[", "fov": 50}], "camera_path": []}, "no list of numbers"),
        (NS | {"keyframes": [{"matrix": EYE}], "nerfkit": {"version": 9}}, "another version"),
        (NS | {"keyframes": [{"matrix": EYE}], "nerfkit": {"version": 1, "easings": ["bounce"]}}, "unknown easing"),
        (NS | {"keyframes": [{"matrix": EYE}], "nerfkit": {"version": 1, "easings": []}}, "one easing for each"),
        (NS | {"nerfkit": {"version": 1, "frame": "/etc"}}, "nerfkit.frame must be one of"),
        (gltf(cameras=[]), "is a damaged glTF"),
        (gltf(nodes=[{}]), "only orthographic cameras"),
        (gltf(nodes=[{}], cameras=[]), "has no camera"),
        (gltf(nodes=[{"children": [1]}, {"camera": 0, "children": [0]}]), "go round in a circle"),
        (gltf(nodes=[{}, {"camera": 0, "scale": [1, 1, 0]}]), "is not a rotation"),
        (gltf(buffers=[{"uri": "nowhere.bin"}]), "its data 'nowhere.bin' are not beside it"),
        (gltf(buffers=[{"uri": "data:;base64,?"}]), "no base64"),
        (gltf(buffers=[{"uri": "data:;base64,AAAA"}]), "beyond the end of its buffer"),
        (
            gltf(accessors=[{"bufferView": 0, "componentType": 5126, "count": 1 << 60, "type": "VEC3"}] * 2),
            "beyond the end",
        ),
    ],
)
def test_damage_is_one_line(tmp_path: Path, scene: Scene, content: Any, words: str) -> None:
    file = save(tmp_path / "path.json", content)
    with pytest.raises(NerfkitError, match=re.escape(words)) as error:
        read_path(file, scene, "scene" if "nerfkit.frame" not in words else "auto")
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_no_file_no_frame(tmp_path: Path, scene: Scene) -> None:
    with pytest.raises(NerfkitError, match="cannot be read"):
        read_path(tmp_path / "nothing.json", scene)
    with pytest.raises(NerfkitError, match="is a folder"):
        read_path(tmp_path, scene)
    file = save(tmp_path / "path.json", [EYE])
    with pytest.raises(NerfkitError, match="no such frame"):
        read_path(file, scene, "moon")
    for nothing in ("", ".", "/"):
        with pytest.raises(NerfkitError, match="no such frame; use auto, scene"):
            read_path(file, scene, nothing)
    with pytest.raises(NerfkitError, match="describes no frame"):
        read_path(file, scene, str(save(tmp_path / "other.json", {"transform": []})))
    with pytest.raises(NerfkitError, match="follows from the photos"):
        read_path(save(file, NS), None)
    assert read_path(file, None, "world").frames == 1  # splats without photos


def test_a_path_of_a_year_is_not_written(tmp_path: Path, scene: Scene) -> None:
    with pytest.raises(NerfkitError, match=r"long\.json: 3e\+07 s at 30 frames/s are 900000000 frames; 100000 may be"):
        write_path(tmp_path / "long.json", uneven().lasting(3e7), scene)
    assert not list(tmp_path.iterdir())


def test_mutated_files_never_do_more_than_complain(tmp_path: Path, scene: Scene) -> None:
    write_path(tmp_path / "ours.json", replace(uneven(True), fps=4), scene)
    glb = gltf()
    binary = base64.b64decode(glb["buffers"][0].pop("uri").partition(",")[2])
    originals = [(tmp_path / "ours.json").read_bytes(), json.dumps(gltf()).encode(), as_glb(glb, binary)]
    chance, file, complaints = random.Random(7), tmp_path / "mutated", []
    for _ in range(600):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(data))
            if chance.random() < 0.3:
                del data[at : at + chance.randint(1, 60)]
            else:
                data[at] = chance.choice(b'0123456789-e{}[],"\x00\xff')
            data = data or bytearray(b"x")
        file.write_bytes(bytes(data))
        try:
            read_path(file, scene)
        except NerfkitError as error:
            complaints.append(str(error))
    assert len(complaints) > 200
    assert not [words for words in complaints if "\n" in words]
