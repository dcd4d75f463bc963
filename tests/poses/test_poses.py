"""From photos to poses: real pictures of the bundled scene, in real processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from nerfkit import poses
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.poses.compare import pose_errors, read_poses
from nerfkit.poses.options import QUALITY, FeatureSettings

ROOT = Path(__file__).parents[2]
DRAFT = poses.PoseOptions(quality="draft")


def nerfkit(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nerfkit.cli", *map(str, arguments)], text=True, cwd=ROOT,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def tree(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_all_photos_register_where_they_were_taken(posed: tuple[Path, poses.PoseReport], still_life: Path) -> None:
    out, report = posed
    assert (report.photos, report.registered, report.unregistered) == (10, 10, [])
    assert report.mean_reprojection_error_px < 1.1
    assert report.agreement > 0.9
    errors = pose_errors(read_poses(out / "transforms.json"), read_poses(still_life / "truth" / "transforms.json"))
    assert errors.photos == 10
    assert errors.position_percent_max < 1
    assert errors.rotation_deg_max < 0.5


def test_poses_json_has_the_promised_keys(posed: tuple[Path, poses.PoseReport]) -> None:
    out, report = posed
    data = json.loads((out / "poses.json").read_text())
    assert {"photos", "registered", "unregistered", "points", "mean_reprojection_error_px", "seconds"} <= set(data)
    assert set(data["seconds"]) == {"features", "matching", "mapping", "total"}
    assert data["seconds"]["total"] >= data["seconds"]["mapping"] > 0
    assert poses.PoseReport.read(out / "poses.json") == report


def test_transforms_json_reprojects_what_colmap_saw(posed: tuple[Path, poses.PoseReport]) -> None:
    """Through OpenCV's projection, which shares no code with what wrote the file."""
    import pycolmap

    out, report = posed
    data = json.loads((out / "transforms.json").read_text())
    model = pycolmap.Reconstruction(out / "colmap" / "sparse" / "0")
    matrix = np.array([[data["fl_x"], 0, data["cx"]], [0, data["fl_y"], data["cy"]], [0, 0, 1]])
    distortion = np.array([data[key] for key in ("k1", "k2", "p1", "p2")])
    errors = []
    for frame in data["frames"]:
        image = model.find_image_with_name(Path(frame["file_path"]).name)
        seen = [point for point in image.points2D if point.has_point3D()]
        cam_from_world = np.linalg.inv(np.array(frame["transform_matrix"]) @ np.diag([1.0, -1, -1, 1]))
        world = np.array([model.points3D[point.point3D_id].xyz for point in seen])
        turn, _ = cv2.Rodrigues(cam_from_world[:3, :3])
        projected, _ = cv2.projectPoints(world, turn, cam_from_world[:3, 3], matrix, distortion)
        errors.append(np.linalg.norm(projected[:, 0] - np.array([point.xy for point in seen]), axis=1))
    assert len(np.concatenate(errors)) > 1000
    assert np.concatenate(errors).mean() < 1.5
    assert data["camera_model"] == "OPENCV"
    assert all((out / frame["file_path"]).is_file() for frame in data["frames"])
    assert len(data["frames"]) == report.registered


def test_the_scene_reads_it(posed: tuple[Path, poses.PoseReport]) -> None:
    out, report = posed
    scene = Scene.load(out)
    assert len(scene.views) == 10
    assert len(scene.points) > 0.9 * report.points
    assert scene.point_colors.float().std() > 10
    assert scene.views[3].image().shape[2] == 3


def test_a_second_run_does_nothing(posed: tuple[Path, poses.PoseReport], ten_photos: Path) -> None:
    out, report = posed
    before = tree(out)
    assert poses.estimate(ten_photos, out, DRAFT) == report
    assert tree(out) == before


def test_other_options_redo_only_what_depends_on_them(posed: tuple[Path, poses.PoseReport], ten_photos: Path) -> None:
    out = ten_photos.parent / "again"
    shutil.copytree(posed[0], out)
    features = (out / ".cache" / "features.db").stat().st_mtime_ns
    report = poses.estimate(ten_photos, out, poses.PoseOptions(quality="draft", matcher="sequential"))
    assert report.matcher == "sequential"
    assert report.registered == 10
    assert (out / ".cache" / "features.db").stat().st_mtime_ns == features


def test_names_with_spaces_and_accents(ten_photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "été à la mer"
    folder.mkdir()
    for photo in sorted(ten_photos.iterdir())[4:]:
        shutil.copy(photo, folder / f"IMG é {photo.name}")
    report = poses.estimate(folder, tmp_path / "out put", poses.PoseOptions(quality="draft", matcher="sequential"))
    assert report.registered == 6
    assert Scene.load(tmp_path / "out put").views[0].path == folder / "IMG é 0020.jpg"


def test_interrupted_and_killed_runs_go_on(ten_photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "poses"
    command = ("poses", ten_photos, "--out", out, "--quality", "draft", "--json")
    first = nerfkit(*command)
    wait_for(lambda: any((out / ".cache").glob("work-*/features.db")))
    first.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, words = first.communicate(timeout=60)
    assert first.returncode == 130, words
    assert time.monotonic() - start < 5
    assert "the same command goes on" in words
    assert not (out / "transforms.json").exists()

    second = nerfkit(*command)
    wait_for(lambda: any((out / ".cache").glob("work-*/matching.db")))
    second.kill()
    second.communicate()
    features = (out / ".cache" / "features.db").stat().st_mtime_ns
    assert not (out / "poses.json").exists()

    third = nerfkit(*command)
    answer, words = third.communicate(timeout=120)
    assert third.returncode == 0, words
    assert json.loads(answer)["registered"] == 10
    assert (out / ".cache" / "features.db").stat().st_mtime_ns == features
    assert not list((out / ".cache").glob("work-*"))


def test_mixed_sizes_turned_photos_and_a_truncated_one(ten_photos: Path, tmp_path: Path, still_life: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(ten_photos, folder)
    for name in ("0001.jpg", "0021.jpg"):
        with Image.open(folder / name) as image:
            exif = image.getexif()
            exif[274] = 6
            image.transpose(Image.Transpose.ROTATE_90).save(folder / name, exif=exif, quality=97)
    for name in ("0002.jpg", "0022.jpg", "0037.jpg"):
        with Image.open(folder / name) as image:
            image.resize((560, 420), Image.Resampling.LANCZOS).save(folder / name, exif=image.getexif(), quality=97)
    (folder / "0038.jpg").write_bytes((folder / "0038.jpg").read_bytes()[:40_000])
    command = nerfkit("poses", folder, "--quality", "draft", "--json")
    answer, words = command.communicate(timeout=120)
    assert command.returncode == 0, words
    report = json.loads(answer)
    assert "0038.jpg: left out" in words
    assert (report["photos"], report["registered"], report["unreadable"]) == (9, 9, ["0038.jpg"])
    assert report["cameras"] == 2
    out = tmp_path / "mixed_poses"
    assert Path(report["out"]) == out
    frames: list[dict[str, Any]] = json.loads((out / "transforms.json").read_text())["frames"]
    assert [frame["w"] for frame in frames] == [640, 640, 560, 640, 640, 640, 560, 640, 560]
    assert all(frame["file_path"].startswith("photos/") for frame in frames)
    errors = pose_errors(read_poses(out / "transforms.json"), read_poses(still_life / "truth" / "transforms.json"))
    assert errors.rotation_deg_max < 0.5


def noise(folder: Path, count: int) -> Path:
    """Pictures full of features of which no two show the same."""
    folder.mkdir()
    for index in range(count):
        rough = np.random.default_rng(index).integers(0, 255, (60, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{index}.jpg"), cv2.resize(rough, (320, 240), interpolation=cv2.INTER_CUBIC))
    return folder


def test_photos_of_different_scenes(tmp_path: Path) -> None:
    folder, out = noise(tmp_path / "different", 5), tmp_path / "out"
    command = nerfkit("poses", folder, "--out", out)
    _, words = command.communicate(timeout=60)
    assert command.returncode == 2, words
    assert f"{folder}: only 0 of 5 photos fit together: photos of different scenes, or too little overlap" in words
    assert "only 0 of 5 photos fit together: once more with stronger features" in words
    assert "5 photos (0.jpg … 4.jpg) match no other photo" in words
    assert f"{out / 'poses.html'} shows which match" in words
    assert sorted(entry.name for entry in out.iterdir()) == [".cache", "poses.html"]
    assert "No camera poses of 5 photos" in (out / "poses.html").read_text()


def test_a_second_attempt_with_stronger_settings(
    ten_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("0000", "0001", "0002", "0021", "0022"):
        shutil.copy(ten_photos / f"{name}.jpg", photos)
    monkeypatch.setitem(QUALITY, "draft", FeatureSettings(300, 30, 0))
    caplog.set_level("INFO", "nerfkit")
    out = tmp_path / "second"
    report = poses.estimate(photos, out, DRAFT)
    assert "photos fit together: once more with stronger features" in caplog.text
    assert (report.registered, report.attempts, report.doubts) == (5, 2, [])
    before = tree(out)
    assert poses.estimate(photos, out, DRAFT) == report
    assert tree(out) == before


def test_the_command_says_which_pairs_and_how_long(ten_photos: Path, posed: tuple[Path, poses.PoseReport]) -> None:
    out = ten_photos.parent / "said"
    shutil.copytree(posed[0], out)
    (out / ".cache" / "matching.json").unlink()
    (out / "transforms.json").unlink()
    command = nerfkit("poses", ten_photos, "--out", out, "--quality", "draft")
    _, words = command.communicate(timeout=120)
    assert command.returncode == 0, words
    assert "pairs: exhaustive, all 45 of 10 photos" in words
    assert re.search(r"features \d+ s, matching \d+ s, mapping \d+ s", words)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda out: out.write_text(""), "is a file; choose a folder for --out"),
        (lambda out: (out / "sub").mkdir(parents=True), "exists and holds other files; choose another --out"),
    ],
)
def test_an_output_folder_that_is_not_ours(
    ten_photos: Path, tmp_path: Path, spoil: Callable[[Path], object], text: str
) -> None:
    out = tmp_path / "taken"
    spoil(out)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(NerfkitError, match=text):
        poses.estimate(ten_photos, out, DRAFT)
    assert sorted(tmp_path.rglob("*")) == before


def test_the_poses_of_other_photos_are_not_overwritten(posed: tuple[Path, poses.PoseReport], still_life: Path) -> None:
    before = tree(posed[0])
    with pytest.raises(NerfkitError, match="holds the poses of other photos"):
        poses.estimate(still_life / "photos", posed[0], DRAFT)
    assert tree(posed[0]) == before


def test_bad_folders_leave_nothing_behind(tmp_path: Path) -> None:
    command = nerfkit("poses", tmp_path / "none", "--out", tmp_path / "out")
    _, words = command.communicate(timeout=60)
    assert command.returncode == 2
    assert f"{tmp_path}/none: no such folder" in words
    assert not (tmp_path / "out").exists()


def test_one_camera_for_photos_of_two_sizes(ten_photos: Path, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    shutil.copytree(ten_photos, folder)
    with Image.open(folder / "0000.jpg") as image:
        image.resize((320, 240)).save(folder / "0000.jpg")
    with pytest.raises(NerfkitError, match=r"different sizes \(320x240, 640x480\) can't share one camera"):
        poses.estimate(folder, tmp_path / "out", poses.PoseOptions(single_camera="yes"))


def test_importing_poses_imports_neither_torch_nor_pycolmap() -> None:
    code = "import sys, nerfkit.poses, nerfkit.cli.poses; sys.exit(bool({'torch', 'pycolmap'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
