"""Cameras written for other programs: our readers, pycolmap and the photos themselves say that they are the same."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import truth

from nerfkit.cameras import project
from nerfkit.data.raw import RawScene
from nerfkit.data.readers import read
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.poses import import_poses
from nerfkit.poses.export import export
from nerfkit.poses.export_source import scene_of


@pytest.fixture
def scene(tmp_path: Path) -> RawScene:
    """Distorted cameras with an uncentred principal point, points and observations."""
    (tmp_path / "scene").mkdir()
    truth.openmvg(tmp_path / "scene", "disto_t2")
    return scene_of(tmp_path / "scene")


def check_same(found: RawScene, scene: RawScene) -> None:
    assert [view.name for view in found.views] == [view.name for view in scene.views]
    for one, two in zip(found.views, scene.views, strict=True):
        assert torch.allclose(one.camera.world_from_cam, two.camera.world_from_cam, atol=1e-12)
        assert torch.allclose(one.camera.intrinsics, two.camera.intrinsics, atol=1e-12)
        assert (one.camera.width, one.camera.height, one.camera.model) == (
            two.camera.width,
            two.camera.height,
            two.camera.model,
        )
        if two.camera.distortion is not None:
            assert one.camera.distortion is not None
            assert torch.allclose(one.camera.distortion, two.camera.distortion, atol=1e-15)
        assert one.path.read_bytes() == two.path.read_bytes()


@pytest.mark.parametrize("model", ["pinhole", "disto_t2", "fisheye"])
@pytest.mark.parametrize("kind", ["colmap", "colmap-text", "nerfstudio", "instant-ngp"])
def test_round_trips(tmp_path: Path, kind: str, model: str) -> None:
    (tmp_path / "scene").mkdir()
    truth.openmvg(tmp_path / "scene", model)
    scene = scene_of(tmp_path / "scene")
    files = export(scene, tmp_path / "out", kind)
    assert files and all(file.is_file() for file in files)
    found = read(tmp_path / "out", observations=True)
    check_same(found, scene)
    order = np.lexsort(found.points.T), np.lexsort(scene.points.T)
    assert np.allclose(found.points[order[0]], scene.points[order[1]], atol=1e-6)


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("rigs", [False, True])
def test_pycolmap_reads_the_model(tmp_path: Path, scene: RawScene, text: bool, rigs: bool) -> None:
    import pycolmap

    export(scene, tmp_path / "out", "colmap-text" if text else "colmap", rigs=rigs)
    folder = tmp_path / "out/sparse/0"
    suffix = "txt" if text else "bin"
    names = {"cameras", "images", "points3D"} | ({"rigs", "frames"} if rigs else set())
    assert {file.name for file in folder.iterdir()} == {f"{name}.{suffix}" for name in names}
    model = pycolmap.Reconstruction(folder)
    assert (model.num_reg_images(), model.num_points3D(), model.num_cameras()) == (8, 60, 1)
    model.update_point_3d_errors()
    assert model.compute_mean_reprojection_error() < 1e-6
    assert model.compute_num_observations() == 480
    assert all((tmp_path / "out/images" / image.name).is_file() for image in model.images.values())


def test_old_text_layout_is_what_the_documentation_says(tmp_path: Path, scene: RawScene) -> None:
    """Read by hand, as old tools do: IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then X Y POINT3D_ID…"""
    from scipy.spatial.transform import Rotation

    export(scene, tmp_path / "out", "colmap-text", rigs=False)
    lines = [
        line for line in (tmp_path / "out/sparse/0/images.txt").read_text().splitlines() if not line.startswith("#")
    ]
    eye, right, down, forward = truth.cameras()
    for header, spots in zip(lines[::2], lines[1::2], strict=True):
        cells = header.split()
        w, x, y, z, *t = map(float, cells[1:8])
        rotation = Rotation.from_quat([x, y, z, w]).as_matrix()
        index = truth.NAMES.index(cells[9])
        assert np.allclose(rotation, np.stack([right[index], down[index], forward[index]]))
        assert np.allclose(-rotation.T @ t, eye[index])
        assert len(spots.split()) == 3 * 60


def test_instant_ngps_cube_holds_the_scene(tmp_path: Path, scene: RawScene) -> None:
    export(scene, tmp_path / "out", "instant-ngp")
    data = json.loads((tmp_path / "out/transforms.json").read_text())
    eyes = np.array([np.array(frame["transform_matrix"])[:3, 3] for frame in data["frames"]])
    inside = eyes * data["scale"] + data["offset"]
    assert np.linalg.norm(inside - 0.5, axis=1).mean() == pytest.approx(1.3)
    assert np.abs(scene.points * data["scale"] + data["offset"] - 0.5).max() < 0.5
    assert data["aabb_scale"] == 16 and data["is_fisheye"] is False


def far_apart(points: np.ndarray, count: int) -> list[int]:
    chosen = [0]
    while len(chosen) < count:
        distance = np.linalg.norm(points[:, None] - points[None, chosen], axis=-1).min(1)
        chosen.append(int(distance.argmax()))
    return chosen


def draw_dots(scene: RawScene, pixels: np.ndarray, chosen: list[int]) -> None:
    """Photos that show dots where the cameras see the chosen points."""
    yy, xx = np.mgrid[0 : truth.HEIGHT, 0 : truth.WIDTH] + 0.5
    for index, view in enumerate(scene.views):
        photo = sum(255 * np.exp(-((xx - u) ** 2 + (yy - v) ** 2) / (2 * 1.5**2)) for u, v in pixels[index, chosen])
        assert cv2.imwrite(str(view.path), np.clip(photo, 0, 255).astype(np.uint8)[..., None].repeat(3, 2))


@pytest.mark.parametrize("model", ["disto_t2", "fisheye"])
@pytest.mark.parametrize("kind", ["blender", "llff"])
def test_undistorted_photos_show_points_where_the_written_cameras_see_them(
    tmp_path: Path, kind: str, model: str
) -> None:
    (tmp_path / "scene").mkdir()
    pixels = truth.openmvg(tmp_path / "scene", model)
    scene = scene_of(tmp_path / "scene")
    chosen = far_apart(scene.points, 5)
    draw_dots(scene, pixels, chosen)
    export(scene, tmp_path / "out", kind)
    found = read(tmp_path / "out")
    assert len(found.views) == 8
    wanted = {view.name: view for view in scene.views}
    checked = 0
    for view in found.views:
        camera = view.camera
        assert camera.model == "pinhole"
        assert torch.allclose(camera.world_from_cam, wanted[view.path.stem].camera.world_from_cam, atol=1e-12)
        assert camera.intrinsics[0, 2:].tolist() == [truth.WIDTH / 2, truth.HEIGHT / 2]
        photo = cv2.imread(str(view.path), cv2.IMREAD_GRAYSCALE).astype(float)
        seen, _ = project(camera, torch.from_numpy(scene.points[chosen]))
        spots = seen[0].numpy()
        yy, xx = np.mgrid[0 : truth.HEIGHT, 0 : truth.WIDTH] + 0.5
        for u, v in spots:
            apart = np.sort(np.hypot(*(spots - [u, v]).T))[1]
            if apart < 14 or not (8 < u < truth.WIDTH - 8 and 8 < v < truth.HEIGHT - 8):
                continue
            weight = photo * (np.hypot(xx - u, yy - v) < 7)
            assert abs((weight * xx).sum() / weight.sum() - u) < 0.1
            assert abs((weight * yy).sum() / weight.sum() - v) < 0.1
            checked += 1
    assert checked > 8


@pytest.mark.parametrize("inside", [255, 1])
def test_blender_holds_out_and_keeps_masks(tmp_path: Path, scene: RawScene, inside: int) -> None:
    mask = np.zeros((truth.HEIGHT, truth.WIDTH), np.uint8)
    mask[:, : truth.WIDTH // 2] = inside
    assert cv2.imwrite(str(tmp_path / "mask.png"), mask)
    scene.views[1].mask_path = tmp_path / "mask.png"
    export(scene, tmp_path / "out", "blender")
    assert [file.name for file in sorted((tmp_path / "out/test").iterdir())] == ["shot_0.png"]
    assert len(list((tmp_path / "out/train").iterdir())) == 7
    alpha = cv2.imread(str(tmp_path / "out/train/shot_1.png"), cv2.IMREAD_UNCHANGED)[..., 3]
    assert alpha[:, :50].min() == 255 and alpha[:, 110:].max() == 0
    assert {path.name for path in read(tmp_path / "out").held_out} == {"shot_0.png"}


def test_photos_of_one_centred_pinhole_stay_as_they_are(tmp_path: Path) -> None:
    truth.polycam(tmp_path / "scene")
    scene = read(tmp_path / "scene")
    for view in scene.views:
        intrinsics = torch.tensor([[truth.FOCAL, truth.FOCAL, truth.WIDTH / 2, truth.HEIGHT / 2]], dtype=torch.float64)
        view.camera = replace(view.camera, intrinsics=intrinsics)
    export(scene, tmp_path / "out", "blender")
    found = read(tmp_path / "out")
    assert found.views[0].camera.intrinsics[0].tolist() == pytest.approx([140, 140, 80, 60])
    for view in found.views:
        original = tmp_path / "scene/keyframes/corrected_images" / view.path.name
        assert np.array_equal(cv2.imread(str(view.path)), cv2.imread(str(original)))


def test_llffs_bounds_are_the_depths_of_the_points(tmp_path: Path, scene: RawScene) -> None:
    export(scene, tmp_path / "out", "llff")
    eye, _, _, forward = truth.cameras()
    for index, view in enumerate(read(tmp_path / "out").views):
        depth = (truth.points()[0] - eye[index]) @ forward[index]
        assert view.bounds is not None
        assert depth.min() <= view.bounds[0] < np.percentile(depth, 3)
        assert np.percentile(depth, 97) < view.bounds[1] <= depth.max()


def test_from_a_run_comes_the_world_frame(tmp_path: Path, scene: RawScene) -> None:
    loaded = Scene.load(tmp_path / "scene")
    loaded.save(tmp_path / "run")
    of_run = scene_of(tmp_path / "run")
    export(of_run, tmp_path / "out", "nerfstudio")
    check_same(read(tmp_path / "out"), scene)
    assert np.allclose(np.sort(of_run.points, 0), np.sort(truth.points()[0], 0), atol=1e-5)
    assert of_run.held_out == {scene.views[0].path}


def test_observations_come_from_the_model_beside_transforms_json(tmp_path: Path, scene: RawScene) -> None:
    import_poses(tmp_path / "scene", tmp_path / "posed")
    found = scene_of(tmp_path / "posed")
    assert found.source.name == "transforms.json"
    assert all(view.seen is not None and len(view.seen.points) == 60 for view in found.views)


def test_what_formats_cannot_hold_is_said(tmp_path: Path, scene: RawScene) -> None:
    out = tmp_path / "out"
    bare = RawScene(scene.source, [replace(view, seen=None) for view in scene.views])
    with pytest.raises(NerfkitError, match=r"shot_0\.png shows 0 points, too few for LLFF's depth bounds"):
        export(bare, out, "llff")
    first = scene.views[0]
    first.camera = replace(first.camera, model="fisheye")
    with pytest.raises(NerfkitError, match="fisheye and other photos together"):
        export(scene, out, "nerfstudio")
    first.camera = replace(first.camera, model="equirect")
    with pytest.raises(NerfkitError, match="a camera is equirect, which COLMAP has no model for"):
        export(scene, out, "colmap")
    first.camera = replace(first.camera, model="opencv", width=120, height=160)
    with pytest.raises(NerfkitError, match=r"photos of different sizes \(120x160, 160x120\)"):
        export(scene, out, "blender")
    assert not out.exists()
    out.mkdir()
    (out / "mine.txt").write_text("keep me")
    with pytest.raises(NerfkitError, match="out: exists; choose another --out"):
        export(scene, out, "colmap")
    assert [entry.name for entry in out.iterdir()] == ["mine.txt"]


def test_the_command(tmp_path: Path, scene: RawScene) -> None:
    command = [
        sys.executable,
        "-m",
        "nerfkit.cli",
        "export",
        str(tmp_path / "scene"),
        "--format",
        "colmap",
        "--no-rigs",
        "--json",
    ]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)
    assert (result["format"], result["cameras"], result["points"]) == ("colmap", 8, 60)
    assert (tmp_path / "scene_colmap/sparse/0/images.bin").is_file()
    assert not (tmp_path / "scene_colmap/sparse/0/rigs.bin").exists()
