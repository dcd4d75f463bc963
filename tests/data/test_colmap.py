"""COLMAP models: every layout gives the same scene, and damaged ones end in a clear error."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
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


@pytest.mark.parametrize("at", ["sparse/0", "sparse", "colmap/sparse/0", "."])
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


def test_an_unsupported_camera_model_is_named(tmp_path: Path) -> None:
    write_colmap(tmp_path, "FULL_OPENCV")
    with pytest.raises(NerfkitError, match=r"FULL_OPENCV.*image_undistorter"):
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
