"""Odd folders through the real command line, and one through to a scene that training reads."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
import corpus

from nerfkit import poses
from nerfkit.data.scene import Scene
from nerfkit.poses.compare import pose_errors, read_poses

ROOT = Path(__file__).parents[2]


def _photos(count: int, folder: Path) -> None:
    folder.mkdir()
    for seed in range(count):
        corpus.good(folder, f"{seed}.jpg", seed)


def _broken_ones(folder: Path) -> None:
    _photos(2, folder)
    (folder / "x.jpg").write_bytes(corpus.ARITHMETIC_JPEG[:300])
    (folder / "y.png").write_bytes(b"")
    os.mkfifo(folder / "z.jpg")


def _bad_mask(folder: Path) -> None:
    _photos(3, folder)
    (folder / "masks").mkdir()
    Image.new("L", (10, 50), 255).save(folder / "masks" / "0.png")


def _copies(folder: Path) -> None:
    _photos(2, folder)
    for name in ("a b.jpg", "line\nbreak.jpg"):
        shutil.copy(folder / "0.jpg", folder / name)


@pytest.mark.parametrize(
    ("make", "error", "warnings"),
    [
        (lambda folder: folder.mkdir(), "no photos in it (looked for .jpg", []),
        (lambda folder: _photos(1, folder), "only one photo; poses need at least 3 photos", []),
        (lambda folder: folder.symlink_to(folder.name), "no such folder; check the path", []),
        (lambda folder: os.mkfifo(folder), "is a file, not a folder of photos", []),
        (_broken_ones, "only 2 photos of 4 readable", ["x.jpg: left out, it cannot be read", "y.png: left out"]),
        (_bad_mask, "0.png: the mask is 10x50 but its photo 96x64", []),
        (_copies, "only 2 different photos;", ["2 photos left out, they are copies of others: a b.jpg (= 0.jpg)"]),
    ],
)  # fmt: skip
def test_one_line_says_what_is_wrong(
    tmp_path: Path, make: Callable[[Path], object], error: str, warnings: list[str]
) -> None:
    make(tmp_path / "it's a\nfolder")
    command = [sys.executable, "-m", "nerfkit.cli", "poses", str(tmp_path / "it's a\nfolder"), "--quiet"]
    done = subprocess.run(command, text=True, cwd=ROOT, capture_output=True, timeout=60)
    *others, last = done.stderr.splitlines()
    assert done.returncode == 2, done.stderr
    assert last.startswith(f"error: {tmp_path}/it's a\\nfolder")
    assert error in last
    assert len(others) == len(warnings), done.stderr
    assert all(line.startswith("warning: ") and words in line for line, words in zip(others, warnings))
    assert [path.name for path in tmp_path.iterdir()] == ["it's a\nfolder"]


@pytest.mark.slow
def test_two_cameras_of_odd_photos_become_a_scene(still_life: Path, tmp_path: Path) -> None:
    """Ten photos of the bundled scene; the same names in two folders, other formats, a mask, and transparent pixels."""
    shots, truth = tmp_path / "shots", {}
    for index, (camera, name) in enumerate((c, n) for c in ("left cam", "right 写真") for n in range(5)):
        number = (0, 1, 2, 3, 20, 21, 22, 36, 37, 38)[index]
        target = shots / camera / f'it\'s "{name}".jpg'
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(still_life / "photos" / f"{number:04d}.jpg", target)
        truth[f"{camera}/{target.stem}"] = f"{number:04d}"
    heic, png, masked = (shots / "left cam" / f'it\'s "{number}".jpg' for number in (0, 1, 2))
    with Image.open(heic) as image:
        image.save(heic.with_suffix(".heic"), quality=95, exif=image.getexif().tobytes())
    with Image.open(png) as image:
        image.putalpha(Image.fromarray(np.repeat(np.uint8([[0] * 200 + [255] * 440]), 480, 0)))
        image.save(png.with_suffix(".png"), exif=image.getexif().tobytes())
    heic.unlink()
    png.unlink()
    (shots / "masks" / "left cam").mkdir(parents=True)
    Image.fromarray(np.repeat(np.uint8([[255] * 400 + [0] * 240]), 480, 0)).save(
        shots / "masks" / "left cam" / f"{masked.stem}.png"
    )

    out = tmp_path / "poses"
    report = poses.estimate(shots, out, poses.PoseOptions(quality="draft"))
    assert (report.photos, report.registered, report.cameras) == (10, 10, 1)

    x = features_x(out / ".cache" / "features.db")
    assert sorted(x) == sorted(
        f"{name}{'.png' if name.startswith('left') and '1' in name else '.jpg'}" for name in truth
    )
    assert x[f"left cam/{png.stem}.png"].min() > 198
    assert x[f"left cam/{masked.stem}.jpg"].max() < 402
    assert x[f"right 写真/{masked.stem}.jpg"].max() > 500

    frames = json.loads((out / "transforms.json").read_text())["frames"]
    assert [frame["mask_path"] for frame in frames if "mask_path" in frame] == [f"masks/left cam/{masked.stem}.jpg.png"]
    estimated = read_poses(out / "transforms.json")
    by_truth = [(truth[name.removeprefix("photos/").rpartition(".")[0]], pose) for name, pose in estimated]
    errors = pose_errors(by_truth, read_poses(still_life / "truth" / "transforms.json"))
    assert (errors.photos, errors.rotation_deg_max < 0.7, errors.position_percent_max < 1.5) == (10, True, True), errors
    own = pose_errors(estimated, estimated)
    assert (own.photos, own.position_percent_max < 1e-6) == (10, True)

    views = {view.name: view for view in Scene.load(out).views}
    assert sorted(views) == sorted(name.replace("/", "_") for name in truth)
    mask, opaque = views[f"left cam_{masked.stem}"].mask(), views[f"left cam_{png.stem}"].mask()
    assert mask is not None
    assert opaque is not None
    assert (int(mask[:, :380].min()), int(mask[:, 420:].max())) == (255, 0)
    assert (int(opaque[:, 220:].min()), int(opaque[:, :180].max())) == (255, 0)

    before = {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()}
    assert poses.estimate(shots, out, poses.PoseOptions(quality="draft")) == report
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*") if file.is_file()} == before


def features_x(database: Path) -> dict[str, np.ndarray]:
    """The horizontal positions of each photo's features, in pixels."""
    query = "SELECT name, rows, cols, data FROM images JOIN keypoints USING (image_id)"
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(query).fetchall()
    return {name: np.frombuffer(data, np.float32).reshape(count, columns)[:, 0] for name, count, columns, data in rows}
