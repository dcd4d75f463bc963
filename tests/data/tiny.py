"""A tiny scene in every format, written by hand from the same known cameras and points."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from nerfkit.cameras import look_at
from nerfkit.data.similarity import Similarity

COUNT, WIDTH, HEIGHT, FOCAL = 10, 64, 48, 60.0
COLMAP_PARAMS = {
    "SIMPLE_PINHOLE": "60 32 24",
    "PINHOLE": "60 60 32 24",
    "SIMPLE_RADIAL": "60 32 24 0.05",
    "RADIAL": "60 32 24 0.05 -0.01",
    "OPENCV": "60 60 32 24 0.05 -0.01 0.001 0.002",
    "OPENCV_FISHEYE": "60 60 32 24 0.05 -0.01 0.001 0.002",
    "SIMPLE_RADIAL_FISHEYE": "60 32 24 0.05",
    "RADIAL_FISHEYE": "60 32 24 0.05 -0.01",
    "FULL_OPENCV": "60 60 32 24 0.05 -0.01 0.001 0.002 0.01 -0.15 0.02 -0.01",
    "FOV": "60 60 32 24 0.5",
}


def poses(count: int = COUNT) -> Tensor:
    """world_from_cam [count, 4, 4] float64: a ring around (1, 2, 3), z up, looking somewhat down."""
    angle = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    center = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    eye = center + torch.stack([4 * angle.cos(), 4 * angle.sin(), 1.5 + 0.3 * (3 * angle).cos()], -1)
    return look_at(eye, center, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))


def points() -> tuple[np.ndarray, np.ndarray]:
    """Points [30, 3] around the focus and their colors."""
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (30, 3)) + np.array([1, 2, 3]), rng.integers(0, 256, (30, 3)).astype(np.uint8)


def names(suffix: str = ".png") -> list[str]:
    return [f"photo_{index:02d}{suffix}" for index in range(COUNT)]


def random_similarity(seed: int) -> Similarity:
    rng = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=rng, dtype=torch.float64))
    rotation = rotation * torch.sign(torch.linalg.det(rotation))
    return Similarity(
        float(torch.rand(1, generator=rng) * 5 + 0.2), rotation, 10 * torch.randn(3, generator=rng).double()
    )


def write_photos(folder: Path, width: int = WIDTH, height: int = HEIGHT, alpha: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    for name in names():
        photo = cv2.resize(rng.integers(0, 256, (6, 8, 3)).astype(np.uint8), (width, height))
        if alpha:
            photo = np.dstack(
                [photo, np.where(np.arange(width) < width // 2, 255, 0).astype(np.uint8)[None].repeat(height, 0)]
            )
        assert cv2.imwrite(str(folder / name), photo)


def transforms() -> dict[str, Any]:
    gl = poses().numpy() * np.array([1.0, -1.0, -1.0, 1.0])
    frames = [
        {"file_path": f"images/{name}", "transform_matrix": pose.tolist()}
        for name, pose in zip(names(), gl, strict=True)
    ]
    return {"fl_x": FOCAL, "fl_y": FOCAL, "cx": 32, "cy": 24, "w": WIDTH, "h": HEIGHT, "frames": frames}


def write_transforms(folder: Path, **changes: Any) -> Path:
    """A scene folder with ``transforms.json``; ``changes`` replace its values, and None takes one out."""
    write_photos(folder / "images")
    data = {key: value for key, value in {**transforms(), **changes}.items() if value is not None}
    (folder / "transforms.json").write_text(json.dumps(data))
    return folder


def write_blender(folder: Path) -> Path:
    """Eight training views and two test views, RGBA, paths without suffix."""
    write_photos(folder / "train", alpha=True)
    (folder / "test").mkdir()
    frames = transforms()["frames"]
    for index, frame in enumerate(frames):
        stem = Path(frame["file_path"]).stem
        part = "train" if index < 8 else "test"
        frame["file_path"] = f"./{part}/{stem}"
        if part == "test":
            shutil.move(folder / "train" / f"{stem}.png", folder / "test" / f"{stem}.png")
    angle = 2 * math.atan(WIDTH / 2 / FOCAL)
    for part, some in (("train", frames[:8]), ("test", frames[8:])):
        (folder / f"transforms_{part}.json").write_text(json.dumps({"camera_angle_x": angle, "frames": some}))
    return folder


def llff_rows() -> np.ndarray:
    """``poses_bounds.npy`` [COUNT, 17] by LLFF's own definition: axes down, right, backwards; bounds by the index."""
    rows = []
    for index, pose in enumerate(poses().numpy()):
        right, down, forward, place = pose[:3].T
        matrix = np.stack([down, right, -forward, place, [HEIGHT, WIDTH, FOCAL]], 1)
        rows.append([*matrix.ravel(), 1.0 + 0.1 * index, 8.0 + index])
    return np.array(rows)


def write_llff(folder: Path, rows: np.ndarray | None = None, photos: str = "images", shrink: int = 1) -> Path:
    write_photos(folder / photos, WIDTH // shrink, HEIGHT // shrink)
    np.save(folder / "poses_bounds.npy", llff_rows() if rows is None else rows)
    return folder


def write_colmap(folder: Path, model: str = "PINHOLE", layout: str = "bin", at: str = "sparse/0") -> Path:
    """A COLMAP scene. ``layout``: ``txt`` or ``bin``, and ``old`` before it: without rigs and frames."""
    import pycolmap

    write_photos(folder / "images")
    target = folder / at
    target.mkdir(parents=True, exist_ok=True)
    _write_text_model(target, model)
    if layout == "old txt":
        return folder
    reconstruction = pycolmap.Reconstruction(str(target))
    for file in target.glob("*.txt"):
        file.unlink()
    if layout == "txt":
        reconstruction.write_text(str(target))
    else:
        reconstruction.write_binary(str(target))
    if layout == "old bin":
        (target / "rigs.bin").unlink()
        (target / "frames.bin").unlink()
    return folder


def _write_text_model(folder: Path, model: str) -> None:
    import pycolmap

    (folder / "cameras.txt").write_text(f"1 {model} {WIDTH} {HEIGHT} {COLMAP_PARAMS[model]}\n")
    xyz, rgb = points()
    seen = " ".join(f"{10 + index}.5 20.25 {index + 1}" for index in range(len(xyz)))
    lines = []
    for index, pose in enumerate(torch.linalg.inv(poses()).numpy()):
        x, y, z, w = pycolmap.Rotation3d(pose[:3, :3]).quat
        numbers = " ".join(repr(float(value)) for value in (w, x, y, z, *pose[:3, 3]))
        lines += [f"{index + 1} {numbers} 1 {names()[index]}", seen if index < 2 else ""]
    (folder / "images.txt").write_text("\n".join(lines) + "\n")
    (folder / "points3D.txt").write_text(
        "".join(
            f"{i + 1} {' '.join(repr(float(v)) for v in p)} {' '.join(map(str, c))} 0.5 1 {i} 2 {i}\n"
            for i, (p, c) in enumerate(zip(xyz, rgb, strict=True))
        )
    )
