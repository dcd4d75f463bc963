"""transforms.json of both flavours, Blender's files, and every wrong input they can meet."""

from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from tiny import FOCAL, WIDTH, names, points, poses, random_similarity, transforms, write_blender, write_transforms

from nerfkit.cameras import project
from nerfkit.data.raw import RawScene
from nerfkit.data.readers import read
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError


def world_from_cam(scene: RawScene) -> torch.Tensor:
    return torch.cat([view.camera.world_from_cam for view in scene.views])


def test_transforms(tmp_path: Path) -> None:
    folder = write_transforms(tmp_path, k1=0.1, k2=0.0, p1=0.0, p2=-0.01)
    scene = read(folder)
    assert [view.path.name for view in scene.views] == names()
    assert torch.allclose(world_from_cam(scene), poses(), atol=1e-12)
    camera = scene.views[0].camera
    assert camera.model == "opencv" and camera.distortion is not None
    assert camera.distortion[0].tolist() == [0.1, 0, 0, -0.01]
    assert camera.intrinsics[0].tolist() == [FOCAL, FOCAL, 32, 24]
    assert torch.equal(world_from_cam(read(folder / "transforms.json")), world_from_cam(scene))


def test_a_field_of_view_is_enough(tmp_path: Path) -> None:
    """instant-ngp's flavour: an angle over the whole width, the size from the photo, the centre in its middle."""
    angle = 2 * math.atan(WIDTH / 2 / FOCAL)
    gone: dict[str, Any] = dict.fromkeys(["fl_x", "fl_y", "cx", "cy", "w", "h"])
    scene = read(write_transforms(tmp_path, camera_angle_x=angle, **gone))
    assert torch.allclose(scene.views[0].camera.intrinsics, torch.tensor([[FOCAL, FOCAL, 32, 24]]).double())


def test_a_frames_own_values_win(tmp_path: Path) -> None:
    frames = transforms()["frames"]
    frames[3] |= {"fl_x": 70, "fl_y": 71}
    scene = read(write_transforms(tmp_path, frames=frames))
    assert scene.views[3].camera.intrinsics[0, :2].tolist() == [70, 71]
    assert scene.views[4].camera.intrinsics[0, :2].tolist() == [FOCAL, FOCAL]


def test_a_frames_own_angle_wins_over_the_files_focal_length(tmp_path: Path) -> None:
    frames = transforms()["frames"]
    frames[3] |= {"camera_angle_x": 2 * math.atan(WIDTH / 2 / 80)}
    scene = read(write_transforms(tmp_path, frames=frames, fl_y=None))
    assert scene.views[3].camera.intrinsics[0, 0] == pytest.approx(80)
    assert scene.views[4].camera.intrinsics[0, 0] == FOCAL


@pytest.mark.parametrize("key", [{"camera_model": "OPENCV_FISHEYE"}, {"is_fisheye": True}])
def test_fisheyes(tmp_path: Path, key: dict[str, Any]) -> None:
    """As OpenCV's fisheye projects."""
    scene = read(write_transforms(tmp_path, k1=0.02, k2=-0.01, k3=0.003, k4=-0.001, aabb_scale=16, **key))
    camera = scene.views[2].camera
    assert camera.model == "fisheye"
    x_cam = torch.tensor([[0.9, -0.4, 1.2], [-1.5, 0.3, 0.8]], dtype=torch.float64)
    matrix = np.array([[FOCAL, 0, 32], [0, FOCAL, 24], [0, 0, 1]])
    expected, _ = cv2.fisheye.projectPoints(
        x_cam.numpy()[None], np.zeros(3), np.zeros(3), matrix, np.array([0.02, -0.01, 0.003, -0.001])
    )
    pose = camera.world_from_cam[0]
    found, _ = project(camera, x_cam @ pose[:3, :3].T + pose[:3, 3])
    assert np.abs(found[0].numpy() - expected[0]).max() < 1e-9


def test_suffixes_in_the_other_case(tmp_path: Path) -> None:
    """The size, too, is the photo's where the file doesn't say it."""
    folder = write_transforms(tmp_path, w=None, h=None, cx=None, cy=None)
    for photo in (folder / "images").iterdir():
        photo.rename(photo.with_suffix(".PNG"))
    scene = read(folder)
    assert [view.path.name for view in scene.views] == names(".PNG")
    assert scene.views[0].camera.intrinsics[0].tolist() == [FOCAL, FOCAL, 32, 24]


def test_masks_and_photos_with_windows_paths(tmp_path: Path) -> None:
    frames = transforms()["frames"]
    (tmp_path / "masks").mkdir()
    for frame, name in zip(frames, names(), strict=True):
        frame["file_path"] = f".\\images\\{name}"
        frame["mask_path"] = f"masks\\{name}"
        assert cv2.imwrite(str(tmp_path / "masks" / name), np.full((48, 64), 255, np.uint8))
    frames[1]["file_path"] = f"D:\\capture\\images\\{names()[1]}"
    scene = read(write_transforms(tmp_path, frames=frames))
    assert [view.path for view in scene.views] == [tmp_path / "images" / name for name in names()]
    assert [view.mask_path for view in scene.views] == [tmp_path / "masks" / name for name in names()]


def test_nerfstudios_applied_transform_is_undone(tmp_path: Path) -> None:
    from plyfile import PlyData, PlyElement

    applied = random_similarity(5)
    gl = applied.poses(poses()).numpy() * np.array([1.0, -1.0, -1.0, 1.0])
    frames = transforms()["frames"]
    for frame, pose in zip(frames, gl, strict=True):
        frame["transform_matrix"] = pose.tolist()
    xyz = applied.points(torch.from_numpy(points()[0])).numpy()
    vertices = np.array([tuple(p) for p in xyz], dtype=[("x", "f8"), ("y", "f8"), ("z", "f8")])
    PlyData([PlyElement.describe(vertices, "vertex")]).write(str(tmp_path / "sparse_pc.ply"))
    matrix = torch.cat([applied.rotation, applied.translation[:, None] / applied.scale], 1)
    scene = read(
        write_transforms(
            tmp_path,
            frames=frames,
            applied_transform=matrix.tolist(),
            applied_scale=applied.scale,
            ply_file_path="sparse_pc.ply",
        )
    )
    assert torch.allclose(world_from_cam(scene), poses(), atol=1e-9)
    assert np.allclose(scene.points, points()[0], atol=1e-9)
    assert (scene.point_colors == 128).all()


def test_what_is_null_is_not_there_and_marks_of_byte_order_dont_matter(tmp_path: Path) -> None:
    frames = [{**frame, "cx": None, "k1": None} for frame in transforms()["frames"]]
    file = write_transforms(tmp_path, frames=frames)
    file = file if file.is_file() else file / "transforms.json"
    as_it_was = file.read_text()
    expected = [view.camera.intrinsics.tolist() for view in read(tmp_path).views]
    nulls = '"k2": null, "camera_model": null, "applied_scale": null, "applied_transform": null, "w":'
    file.write_text(as_it_was.replace('"w":', nulls, 1), encoding="utf-8-sig")
    assert [view.camera.intrinsics.tolist() for view in read(tmp_path).views] == expected


@pytest.mark.parametrize(
    ("kind", "written", "read_as"),
    [
        ("uchar", 200, 200),
        ("float", 0.5, 128),
        ("float", 200.0, 200),
        ("ushort", 51400, 200),
        ("double", 1.0, 255),
        ("ushort", 200, 200),
    ],
)
def test_colors_of_points(tmp_path: Path, kind: str, written: float, read_as: int) -> None:
    names = ("red", "green", "blue")
    properties = "".join(f"property float {axis}\n" for axis in "xyz")
    properties += "".join(f"property {kind} {name}\n" for name in names)
    points = "".join(f"{x} 0 0 0 {written} {written}\n" for x in range(3))
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "sparse.ply").write_text(
        f"ply\nformat ascii 1.0\nelement vertex 3\n{properties}end_header\n{points}"
    )
    write_transforms(tmp_path, ply_file_path="points\\sparse.ply")
    assert read(tmp_path).point_colors.tolist() == [[0, read_as, read_as]] * 3


def test_blender(tmp_path: Path) -> None:
    scene = read(write_blender(tmp_path))
    assert len(scene.views) == 10 and all(view.has_alpha for view in scene.views)
    assert {path.name for path in scene.held_out} == set(names()[8:])
    by_file = sorted(scene.views, key=lambda view: view.path.name)
    assert torch.allclose(torch.cat([view.camera.world_from_cam for view in by_file]), poses(), atol=1e-12)
    assert torch.allclose(scene.views[0].camera.intrinsics[0, :2], torch.tensor([FOCAL, FOCAL]).double())


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (r".{40}$", "", r"transforms_train\.json: not valid JSON"),
        ('"camera_angle_x"', '"angle"', r"transforms_train\.json: no intrinsics"),
        (r'"camera_angle_x": [\d.]+', '"camera_angle_x": "wide"', "camera_angle_x must be a number"),
        (r'"camera_angle_x": [\d.]+', '"camera_angle_x": NaN', "has camera_angle_x nan; write the angle"),
        (r'("transform_matrix": \[\[)[-\d.e]+', r"\1 NaN", r"photo_00\.png is not rigid .* but not finite"),
        (r'("transform_matrix": \[\[)[-\d.e]+', r"\1 []", "has no valid transform_matrix"),
        ("frames", "views", "it has no 'frames'"),
    ],
)
def test_wrong_blender_files(tmp_path: Path, old: str, new: str, words: str) -> None:
    file = write_blender(tmp_path) / "transforms_train.json"
    assert re.search(old, file.read_text())
    file.write_text(re.sub(old, new, file.read_text(), count=1))
    with pytest.raises(NerfkitError, match=words):
        read(tmp_path)


def test_some_missing_photos_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_transforms(tmp_path)
    (tmp_path / "images" / "photo_03.png").unlink()
    with caplog.at_level(logging.WARNING, logger="nerfkit"):
        scene = read(tmp_path)
    assert len(scene.views) == 9
    assert "photo_03.png" in caplog.text


def _unlink(folder: Path) -> None:
    for name in names()[:6]:
        (folder / "images" / name).unlink()


def _change(**changes: Any) -> Any:
    def apply(folder: Path) -> None:
        data = {**transforms(), **changes}
        (folder / "transforms.json").write_text(json.dumps({k: v for k, v in data.items() if v is not None}))

    return apply


def _frames(index: int, **changes: Any) -> Any:
    frames = transforms()["frames"]
    frames[index] = {k: v for k, v in {**frames[index], **changes}.items() if v is not None}
    return _change(frames=frames)


def _cut(folder: Path) -> None:
    file = folder / "transforms.json"
    file.write_text(file.read_text()[:300])


def _wrong_shape(folder: Path) -> None:
    assert cv2.imwrite(str(folder / "images/photo_02.png"), np.zeros((64, 48, 3), np.uint8))


def _mask_of_another_shape(folder: Path) -> None:
    assert cv2.imwrite(str(folder / "mask.png"), np.zeros((64, 48), np.uint8))
    _frames(2, mask_path="mask.png")(folder)


def _no_photo(folder: Path) -> None:
    (folder / "images/photo_02.png").write_bytes(b"no photo at all")


MIRROR = np.diag([1.0, 1.0, -1.0, 1.0]).tolist()
SCALED = np.diag([2.0, 2.0, 2.0, 1.0]).tolist()
NAN = np.full((4, 4), np.nan).tolist()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_unlink, r"6 of its 10 views lack their file.*photo_00\.png"),
        (_change(fl_x=None, fl_y=None), r"transforms\.json: no intrinsics for .*add fl_x"),
        (_change(fl_x=0), "no positive focal length"),
        (_change(fl_x="wide"), "fl_x must be a number"),
        (_change(w="wide"), "w must be a number"),
        (_change(fl_x=None, fl_y=None, camera_angle_x=0), "has camera_angle_x 0; write the angle of view in radians"),
        (_change(fl_x=None, fl_y=None, camera_angle_x=90), "has camera_angle_x 90; write the angle of view in radians"),
        (_change(w=float("nan")), "has w nan and h 48; write its size in pixels"),
        (_change(k1=float("nan")), "distortion of .* is not finite"),
        (_change(applied_scale=0), "applied_scale must be positive, got 0"),
        (_change(applied_scale=-2.0), "applied_scale must be positive, got -2"),
        (_frames(2, mask_path=3), "mask_path of .* must be a path"),
        (_change(camera_model="EUCM"), "camera_model EUCM is not supported"),
        (_change(frames=[]), "no 'frames'"),
        (_change(frames=None), "no 'frames'"),
        (_change(frames=transforms()["frames"][:1]), "at least 2 views, found 1"),
        (_change(ply_file_path="gone.ply"), r"gone\.ply: no such point file"),
        (_frames(2, file_path=None), "frame 2 has no 'file_path'"),
        (_frames(2, file_path="images/photo_01.png"), r"photo_01\.png appears twice"),
        (_frames(2, transform_matrix=None), r"photo_02\.png has no valid transform_matrix"),
        (_frames(2, transform_matrix=[[1, 2], [3, 4]]), "must be 4x4"),
        (_frames(2, transform_matrix=MIRROR), r"pose of photo_02\.png is not rigid"),
        (_frames(2, transform_matrix=SCALED), r"pose of photo_02\.png is not rigid"),
        (_frames(2, transform_matrix=NAN), r"pose of photo_02\.png is not rigid"),
        (_cut, r"transforms\.json: not valid JSON"),
        (_wrong_shape, r"photo_02\.png: the photo is 48x64 but its camera is 64x48"),
        (_mask_of_another_shape, r"mask\.png: the mask is 48x64 but its photo 64x48; make masks of the photos' size"),
        (_no_photo, r"photo_02\.png: not a readable picture"),
    ],
)
def test_wrong_transforms(tmp_path: Path, spoil: Any, words: str) -> None:
    write_transforms(tmp_path)
    spoil(tmp_path)
    with pytest.raises(NerfkitError, match=words):
        read(tmp_path)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"frames"', "", "\x00\xff", "[" * 100_000])
def test_json_that_is_no_transforms(tmp_path: Path, text: str) -> None:
    (tmp_path / "transforms.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(NerfkitError, match=r"transforms\.json: not "):
        read(tmp_path)


def test_photos_without_poses(tmp_path: Path) -> None:
    write_transforms(tmp_path)
    (tmp_path / "transforms.json").unlink()
    with pytest.raises(NerfkitError, match="run `nerfkit poses"):
        read(tmp_path)


def test_paths_that_hold_nothing(tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match="no such file or folder"):
        read(tmp_path / "gone")
    with pytest.raises(NerfkitError, match="no scene found"):
        read(tmp_path)
    with pytest.raises(NerfkitError, match="--images"):
        read(tmp_path, tmp_path / "gone")


def test_fox(shared_data: Path) -> None:
    scene = Scene.load(shared_data / "fox", downscale=8)
    assert len(scene.views) == 50 and len(scene.held_out) == 7
    image = scene.views[0].image()
    assert tuple(image.shape) == (240, 135, 3) and float(image.float().std()) > 20


def test_lego(shared_data: Path) -> None:
    scene = Scene.load(shared_data / "lego", downscale=8)
    mask = scene.views[0].mask()
    assert scene.has_alpha and scene.points_are_random and mask is not None
    assert 0.05 < float((mask > 127).float().mean()) < 0.6
