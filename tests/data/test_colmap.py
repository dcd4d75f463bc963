"""COLMAP models: every layout gives the same scene, and damaged ones end in a clear error."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from tiny import HEIGHT, WIDTH, names, points, poses, write_colmap, write_photos, write_transforms

from nerfkit.data.raw import RawScene
from nerfkit.data.readers import read
from nerfkit.errors import NerfkitError

LAYOUTS = ("bin", "txt", "old bin", "old txt")
FILES = ("cameras", "images", "points3D", "rigs", "frames")


def check_truth(scene: RawScene) -> None:
    assert [view.path.name for view in scene.views] == names()
    found = torch.cat([view.camera.world_from_cam for view in scene.views])
    assert torch.allclose(found, poses(), atol=1e-12)
    assert torch.allclose(scene.views[0].camera.intrinsics, torch.tensor([[60.0, 60, 32, 24]]).double())
    xyz, rgb = points()
    assert np.allclose(scene.points, xyz, atol=1e-12)
    assert np.array_equal(scene.point_colors, rgb)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_scene(tmp_path: Path, layout: str) -> None:
    write_colmap(tmp_path, layout=layout)
    suffix = layout.split()[-1]
    assert (tmp_path / f"sparse/0/rigs.{suffix}").is_file() == (not layout.startswith("old"))
    check_truth(read(tmp_path))


@pytest.mark.parametrize("at", ["sparse/0", "sparse", "colmap/sparse/0", ".", "sparse/2", "colmap/sparse/1", "1"])
def test_every_place_of_the_model(tmp_path: Path, at: str) -> None:
    write_colmap(tmp_path, at=at)
    check_truth(read(tmp_path))
    check_truth(read(tmp_path / at))  # the model folder itself


def test_photos_in_other_folders(tmp_path: Path) -> None:
    write_colmap(tmp_path)
    (tmp_path / "images").rename(tmp_path / "photos")
    check_truth(read(tmp_path))
    shutil.move(tmp_path / "photos", tmp_path / "elsewhere")
    with pytest.raises(NerfkitError, match=r"photo_00\.png.*--images"):
        read(tmp_path)
    check_truth(read(tmp_path, tmp_path / "elsewhere"))


def test_suffixes_in_the_other_case(tmp_path: Path) -> None:
    write_colmap(tmp_path)
    for photo in (tmp_path / "images").iterdir():
        photo.rename(photo.with_suffix(".PNG"))
    assert [view.path.name for view in read(tmp_path).views] == names(".PNG")
    assert [view.path.name for view in read(tmp_path, tmp_path / "images").views] == names(".PNG")


def test_names_with_the_separators_of_windows(tmp_path: Path) -> None:
    write_colmap(tmp_path, layout="old txt")
    file = tmp_path / "sparse/0/images.txt"
    file.write_text(file.read_text().replace("photo_", "left\\photo_"))
    (tmp_path / "images").rename(tmp_path / "left")
    (tmp_path / "images").mkdir()
    (tmp_path / "left").rename(tmp_path / "images/left")
    check_truth(read(tmp_path))


def test_smaller_copies_of_the_photos(tmp_path: Path) -> None:
    write_colmap(tmp_path)
    write_photos(tmp_path / "images_2", WIDTH // 2, HEIGHT // 2)
    camera = read(tmp_path, tmp_path / "images_2").views[0].camera
    assert (camera.width, camera.height) == (WIDTH // 2, HEIGHT // 2)
    assert camera.intrinsics[0].tolist() == [30, 30, 16, 12]


@pytest.mark.parametrize(
    ("model", "kind", "distortion"),
    [
        ("SIMPLE_PINHOLE", "pinhole", None),
        ("PINHOLE", "pinhole", None),
        ("SIMPLE_RADIAL", "opencv", [0.05, 0, 0, 0]),
        ("RADIAL", "opencv", [0.05, -0.01, 0, 0]),
        ("OPENCV", "opencv", [0.05, -0.01, 0.001, 0.002]),
        ("OPENCV_FISHEYE", "fisheye", [0.05, -0.01, 0.001, 0.002]),
        ("SIMPLE_RADIAL_FISHEYE", "fisheye", [0.05, 0, 0, 0]),
        ("RADIAL_FISHEYE", "fisheye", [0.05, -0.01, 0, 0]),
    ],
)
def test_camera_models_project_as_colmap_does(
    tmp_path: Path, model: str, kind: str, distortion: list[float] | None
) -> None:
    import pycolmap

    from nerfkit.cameras import project

    scene = read(write_colmap(tmp_path, model))
    camera = scene.views[0].camera
    assert camera.model == kind
    assert (None if camera.distortion is None else camera.distortion[0].tolist()) == distortion
    image = pycolmap.Reconstruction(str(tmp_path / "sparse/0")).images[1]
    found, _ = project(camera, torch.from_numpy(scene.points))
    truth = np.array([image.project_point(point) for point in scene.points])
    assert np.abs(found[0].numpy() - truth).max() < 1e-9


def test_the_rational_model_is_reduced(tmp_path: Path) -> None:
    """FULL_OPENCV has k3 and a polynomial that divides; the four coefficients that nerfkit has come near."""
    import pycolmap

    from nerfkit.cameras import distort

    camera = read(write_colmap(tmp_path, "FULL_OPENCV")).views[0].camera
    assert camera.model == "opencv"
    truth = pycolmap.Reconstruction(str(tmp_path / "sparse/0")).cameras[1]
    edge = np.stack(np.meshgrid(np.linspace(0, WIDTH, 9), np.linspace(0, HEIGHT, 9)), -1).reshape(-1, 2)
    xy = np.asarray(truth.cam_from_img(edge))
    found = distort(camera, torch.from_numpy(xy)[None])[0] * camera.intrinsics[0, :2] + camera.intrinsics[0, 2:]
    assert np.abs(found.numpy() - edge).max() < 0.02
    plain = truth.focal_length_x * xy + [32, 24]
    assert np.abs(plain - edge).max() > 0.2  # without distortion


def test_an_unsupported_camera_model_is_named(tmp_path: Path) -> None:
    write_colmap(tmp_path, "FOV")
    with pytest.raises(NerfkitError, match=r"FOV.*image_undistorter"):
        read(tmp_path)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.97, 1.03])
def test_truncated_binaries_are_named(tmp_path: Path, name: str, part: float) -> None:
    write_colmap(tmp_path)
    file = tmp_path / "sparse/0" / f"{name}.bin"
    size = file.stat().st_size
    wanted = size + 7 if part > 1 else int(part * size)
    os.truncate(file, wanted)
    with pytest.raises(NerfkitError, match=rf"{name}\.bin: truncated or damaged"):
        read(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_wild_counts_allocate_nothing(tmp_path: Path, name: str) -> None:
    write_colmap(tmp_path)
    file = tmp_path / "sparse/0" / f"{name}.bin"
    file.write_bytes(b"\xff" * 8 + file.read_bytes()[8:])
    with pytest.raises(NerfkitError, match=rf"{name}\.bin: truncated or damaged"):
        read(tmp_path)


def test_files_of_different_models(tmp_path: Path) -> None:
    """Whole files whose references lead nowhere: points that name images which are not there."""
    write_colmap(tmp_path, layout="old bin")
    file = tmp_path / "sparse/0/points3D.bin"
    data = bytearray(file.read_bytes())
    data[8 + 51] = 99  # the first image of the first point's track
    file.write_bytes(data)
    with pytest.raises(NerfkitError, match="different models"):
        read(tmp_path)


@pytest.mark.parametrize("layout", ["txt", "old txt"])
def test_names_with_spaces_in_text_models(tmp_path: Path, layout: str) -> None:
    write_colmap(tmp_path, layout=layout)
    file = tmp_path / "sparse/0/images.txt"
    text = file.read_text()
    for name in names():
        text = text.replace(name, f"the  photo {name}")
        (tmp_path / "images" / name).rename(tmp_path / "images" / f"the  photo {name}")
    file.write_text(text)
    scene = read(tmp_path)
    assert [view.path.name for view in scene.views] == [f"the  photo {name}" for name in names()]
    found = torch.cat([view.camera.world_from_cam for view in scene.views])
    assert torch.allclose(found, poses(), atol=1e-12)


def test_a_larger_model_beside_it_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_colmap(tmp_path, at="sparse/1")
    shutil.copytree(tmp_path / "sparse/1", tmp_path / "sparse/0")
    check_truth(read(tmp_path))
    assert not caplog.text
    import pycolmap

    model = pycolmap.Reconstruction(str(tmp_path / "sparse/0"))
    for number in (9, 10):
        model.deregister_frame(model.images[number].frame_id)
    model.write(str(tmp_path / "sparse/0"))
    assert len(read(tmp_path).views) == 8
    assert f"{tmp_path}/sparse/0: is read, but {tmp_path}/sparse/1 is larger" in caplog.text
    caplog.clear()
    check_truth(read(tmp_path / "sparse/1"))
    assert not caplog.text


def test_a_model_that_lacks_its_file_of_points(tmp_path: Path) -> None:
    write_colmap(tmp_path, layout="old txt")
    (tmp_path / "sparse/0/points3D.txt").unlink()
    with pytest.raises(NerfkitError, match=r"sparse/0: a COLMAP model without points3D; .* empty points3D\.txt"):
        read(tmp_path)


def test_a_truncated_text_model(tmp_path: Path) -> None:
    write_colmap(tmp_path, layout="txt")
    file = tmp_path / "sparse/0/images.txt"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(NerfkitError, match="damaged COLMAP model"):
        read(tmp_path)


def test_transforms_json_comes_before_the_model(tmp_path: Path) -> None:
    write_transforms(tmp_path)
    shutil.copytree(write_colmap(tmp_path / "other") / "sparse", tmp_path / "colmap/sparse")
    assert read(tmp_path).source == tmp_path / "transforms.json"


def test_a_model_without_points(tmp_path: Path) -> None:
    write_colmap(tmp_path, layout="old txt")
    (tmp_path / "sparse/0/points3D.txt").write_text("")
    images = tmp_path / "sparse/0/images.txt"
    lines = images.read_text().splitlines()
    images.write_text("\n".join(line if index % 2 == 0 else "" for index, line in enumerate(lines)) + "\n")
    assert read(tmp_path).points.shape == (0, 3)


@pytest.mark.parametrize("suffix", ["bin", "txt"])
def test_rigs_of_several_sensors(tmp_path: Path, suffix: str) -> None:
    """Two cameras on one bar: an image's pose is its sensor's on the rig's, which the old files don't have."""
    import pycolmap

    model = pycolmap.Reconstruction()
    for number, focal in ((1, 60.0), (2, 50.0)):
        params = [focal, focal, 32, 24]
        model.add_camera(pycolmap.Camera(camera_id=number, model="PINHOLE", width=64, height=48, params=params))
    sensors = [pycolmap.sensor_t(pycolmap.SensorType.CAMERA, number) for number in (1, 2)]
    turn = Rotation.from_euler("xyz", [0.2, 0.5, -0.3]).as_matrix()
    offset = np.array([0.3, -0.1, 0.2])
    rig = pycolmap.Rig(rig_id=1)
    rig.add_ref_sensor(sensors[0])
    rig.add_sensor(sensors[1], pycolmap.Rigid3d(pycolmap.Rotation3d(turn), offset))
    model.add_rig(rig)
    expected = {}
    for index, pose in enumerate(poses(5).numpy()):
        rig_from_world = np.linalg.inv(pose)
        frame = pycolmap.Frame(frame_id=index + 1, rig_id=1)
        for sensor in (0, 1):
            frame.add_data_id(pycolmap.data_t(sensors[sensor], 2 * index + sensor + 1))
        frame.rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(rig_from_world[:3, :3]), rig_from_world[:3, 3])
        model.add_frame(frame)
        for sensor in (0, 1):
            name = names()[2 * index + sensor]
            number = 2 * index + sensor + 1
            model.add_image(pycolmap.Image(name=name, camera_id=sensor + 1, image_id=number, frame_id=index + 1))
        second = np.eye(4)
        second[:3, :3], second[:3, 3] = turn, offset
        expected[names()[2 * index]] = pose
        expected[names()[2 * index + 1]] = np.linalg.inv(second @ rig_from_world)
        model.register_frame(index + 1)
    write_photos(tmp_path / "images")
    folder = tmp_path / "sparse/0"
    folder.mkdir(parents=True)
    model.write_binary(str(folder)) if suffix == "bin" else model.write_text(str(folder))
    scene = read(tmp_path)
    assert [view.path.name for view in scene.views] == names()
    for index, view in enumerate(scene.views):
        assert np.allclose(view.camera.world_from_cam[0].numpy(), expected[view.path.name], atol=1e-12)
        assert view.camera.intrinsics[0, 0] == (60, 50)[index % 2]
    for name in ("rigs", "frames"):
        (folder / f"{name}.{suffix}").unlink()
    old = read(tmp_path)  # the images' own poses say the same
    assert torch.allclose(old.views[1].camera.world_from_cam, scene.views[1].camera.world_from_cam, atol=1e-12)


def test_observations_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    write_colmap(tmp_path)
    assert all(view.seen is None for view in read(tmp_path).views)
    first, *_, last = read(tmp_path, observations=True).views
    assert first.seen is not None and last.seen is not None
    assert first.seen.points.tolist() == list(range(30)) and len(last.seen.points) == 0
    assert first.seen.pixels[7].tolist() == [17.5, 20.25]


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("images.txt", r"(\n3) \S+", r"\1 nan", "damaged COLMAP model"),
        ("images.txt", r"(\n3(?: \S+){4}) \S+", r"\1 nan", "damaged COLMAP model"),
        ("images.txt", r"(\n3) \S+", r"\1 w", "damaged COLMAP model"),
        ("cameras.txt", "PINHOLE 64", "PINHOLE wide", "damaged COLMAP model"),
        ("cameras.txt", "60 60 32 24", "nan 60 32 24", "damaged COLMAP model"),
        ("cameras.txt", "60 60 32 24", "60 60 32", "damaged COLMAP model"),
    ],
)
def test_wrong_values_in_text_models(tmp_path: Path, file: str, old: str, new: str, words: str) -> None:
    write_colmap(tmp_path, layout="old txt")
    text = (tmp_path / "sparse/0" / file).read_text()
    assert re.search(old, text)
    (tmp_path / "sparse/0" / file).write_text(re.sub(old, new, text, count=1))
    with pytest.raises(NerfkitError, match=words) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)
