"""A textured box room, seen by cameras of any model: pictures with exact poses, drawn with numpy alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nerfkit.cameras import pixel_centers, rays
from nerfkit.contracts import Cameras

HALF = np.array([3.0, 2.2, 1.4], np.float32)  # of the room's sides; the origin is in its middle, z is up
_PER_UNIT = 220  # texels
# Furniture, so that not everything is a plane: boxes by their lowest and highest corners.
BOXES = [
    (np.array([-0.5, -0.4, -1.4], np.float32), np.array([0.5, 0.4, -0.5], np.float32)),
    (np.array([1.6, -2.2, -1.4], np.float32), np.array([2.4, -1.5, 0.4], np.float32)),
    (np.array([-2.8, 1.0, -1.4], np.float32), np.array([-2.0, 2.0, -0.1], np.float32)),
    (np.array([-1.8, -2.1, -0.2], np.float32), np.array([-1.0, -1.7, 0.5], np.float32)),
]

Array = NDArray[np.float32]


def texture(seed: int, size: int = 1024) -> NDArray[np.float32]:
    """Patches and spots of many sizes, [S, S, 3]."""
    rng = np.random.default_rng(seed)
    picture = np.full((size, size, 3), rng.integers(60, 190, 3), np.uint8)
    for scale in (160, 80, 40, 20, 10):
        for _ in range(int(3 * (size / scale) ** 1.4)):
            x, y = rng.integers(0, size, 2)
            w, h = rng.integers(scale // 3, scale, 2)
            color = tuple(int(value) for value in rng.integers(0, 255, 3))
            if rng.random() < 0.5:
                cv2.rectangle(picture, (x, y), (x + w, y + h), color, -1)
            else:
                cv2.ellipse(picture, (x, y), (w // 2, h // 2), float(rng.uniform(0, 180)), 0, 360, color, -1)
    return cv2.GaussianBlur(picture, (0, 0), 1).astype(np.float32)


_TEXTURES: dict[int, NDArray[np.float32]] = {}


def seen(origin: Array, directions: Array) -> NDArray[np.float32]:
    """Colors [R, 3] along rays ``directions`` [R, 3] from a place [3] inside the room."""
    with np.errstate(divide="ignore", invalid="ignore"):
        to_wall = np.where(directions > 0, HALF - origin, -HALF - origin) / directions
    distance, surface = np.nanmin(to_wall, 1), np.nanargmin(to_wall, 1)
    side = np.take_along_axis(directions > 0, surface[:, None], 1)[:, 0]
    surface = surface * 2 + side
    for number, (low, high) in enumerate(BOXES):
        with np.errstate(divide="ignore", invalid="ignore"):
            a, b = (low - origin) / directions, (high - origin) / directions
        near, far = np.minimum(a, b), np.maximum(a, b)
        enter, leave = near.max(1), far.min(1)
        hit = (enter < leave) & (enter > 1e-6) & (enter < distance)
        axis = near.argmax(1)
        face = axis * 2 + (np.take_along_axis(directions, axis[:, None], 1)[:, 0] > 0)
        surface = np.where(hit, 6 + number * 6 + face, surface)
        distance = np.where(hit, enter, distance)
    points = origin + distance[:, None] * directions
    colors = np.zeros((len(points), 3), np.float32)
    for face in np.unique(surface):
        mask = surface == face
        axis = face % 6 // 2
        uv = np.delete(points[mask], axis, 1) * _PER_UNIT
        picture = _TEXTURES.setdefault(int(face), texture(int(face)))
        x, y = (uv[:, 0] + 512).astype(np.float32), (uv[:, 1] + 512).astype(np.float32)
        for start in range(0, len(x), 30000):  # OpenCV's tables have at most 32767 rows
            part = slice(start, start + 30000)
            rows = cv2.remap(picture, x[part, None], y[part, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)[
                :, 0
            ]
            colors[np.flatnonzero(mask)[part]] = rows
    return colors


def draw(cameras: Cameras, index: int, directions: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture [H, W, 3] of one camera, whose rays in its own frame are ``directions`` [S, H * W, 3]."""
    pose = cameras.world_from_cam[index].numpy()
    total = np.zeros((cameras.height * cameras.width, 3), np.float32)
    for rays_cam in directions:
        total += seen(pose[:3, 3].astype(np.float32), rays_cam @ pose[:3, :3].T.astype(np.float32))
    picture = np.clip(total / len(directions) + 0.5, 0, 255).astype(np.uint8)
    return picture.reshape(cameras.height, cameras.width, 3)


def directions_cam(cameras: Cameras, samples: int = 2) -> NDArray[np.float32]:
    """Through ``samples`` x ``samples`` places of every pixel of the first camera, in its frame: [S, H * W, 3]."""
    here = Cameras(
        torch.eye(4, dtype=torch.float64)[None], cameras.intrinsics[:1], cameras.width, cameras.height, cameras.model,
        None if cameras.distortion is None else cameras.distortion[:1],
    )  # fmt: skip
    pixels = pixel_centers(cameras.width, cameras.height, torch.float64).reshape(-1, 2)
    which = torch.zeros(len(pixels), dtype=torch.long)
    offsets = [(torch.tensor(o) + 0.5) / samples - 0.5 for o in np.ndindex(samples, samples)]
    return np.stack([rays(here, which, pixels + offset).directions.numpy() for offset in offsets]).astype(np.float32)


def write(folder: Path, cameras: Cameras, samples: int = 2) -> list[Path]:
    """Pictures ``0000.jpg``… of all cameras, which have the same intrinsics."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{index:04d}.jpg" for index in range(len(cameras.world_from_cam))]
    directions = directions_cam(cameras, samples)
    for index, file in enumerate(files):
        Image.fromarray(draw(cameras, index, directions)).save(file, quality=95)
    return files
