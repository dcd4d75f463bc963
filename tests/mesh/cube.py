"""A painted cube whose photos are exact, for tests of textures."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Cameras, Mesh

HALF = 0.2  # of the cube's side


def cube(divisions: int = 4, half: float = HALF, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    """A cube around ``center`` whose six sides are charts of their own: a grid of 3 x 2 squares with gaps."""
    vertices, faces, uvs = [], [], []
    n = divisions + 1
    s, t = (a.ravel() for a in np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n), indexing="ij"))
    i = np.arange(n * n).reshape(n, n)
    a, b, c, d = (part.ravel() for part in (i[:-1, :-1], i[1:, :-1], i[1:, 1:], i[:-1, 1:]))
    for side in range(6):
        axis, sign = side // 2, 1 if side % 2 else -1
        points = np.zeros((n * n, 3))
        points[:, axis], points[:, (axis + 1) % 3], points[:, (axis + 2) % 3] = sign, sign * s, t
        faces.append(np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]) + side * n * n)
        vertices.append(points * half + np.array(center))
        corner = np.array([side % 3, side // 3]) / 3
        uvs.append(corner + 0.02 + 0.28 * (np.stack([s, t], 1) + 1) / 2)
    # the sides' own normals: corners are not rounded
    normals = np.repeat(np.eye(3)[np.arange(6) // 2] * np.where(np.arange(6) % 2, 1, -1)[:, None], n * n, axis=0)
    return Mesh(
        np.concatenate(vertices).astype(np.float32), np.concatenate(faces).astype(np.int32), None,
        normals.astype(np.float32), np.concatenate(uvs).astype(np.float32),
    )  # fmt: skip


def paint(points: Tensor) -> Tensor:
    """The cube's colour [P, 3] in 0..255, by place: waves, continuous over its edges."""
    x = points / HALF
    waves = torch.sin(x * 4 + x.roll(1, 1) * 2)
    return 128 + 75 * waves


def ring(count: int = 14, size: int = 160) -> Cameras:
    """Cameras on a sphere around the cube, above and below."""
    k = torch.arange(count, dtype=torch.float64) + 0.5
    z, turn = 1 - 2 * k / count, k * 2.399963  # a Fibonacci sphere
    r = (1 - z * z).sqrt()
    eye = torch.stack([r * turn.cos(), r * turn.sin(), z], 1) * 0.9
    pose = cameras.look_at(eye, torch.zeros(3, dtype=torch.float64), torch.tensor([0.1, 0.2, 1], dtype=torch.float64))
    focal = 1.1 * size
    intrinsics = torch.tensor([[focal, focal, size / 2, size / 2]]).expand(count, 4).contiguous()
    return Cameras(pose.float(), intrinsics, size, size)


def photo(camera: Cameras, half: float = HALF) -> Tensor:
    """[H, W, 3] float 0..255 of the painted cube in front of white, ray cast in closed form at the pixel centres."""
    pixels = cameras.pixel_centers(camera.width, camera.height).reshape(-1, 2)
    rays = cameras.rays(camera, torch.zeros(len(pixels), dtype=torch.int64), pixels)
    near = (-half * rays.directions.sign() - rays.origins) / rays.directions
    far = (half * rays.directions.sign() - rays.origins) / rays.directions
    t = near.amax(1)
    hit = (t <= far.amin(1)) & (t > 0)
    rgb = torch.where(hit[:, None], paint(rays.origins + t[:, None] * rays.directions), torch.tensor(255.0))
    return rgb.reshape(camera.height, camera.width, 3)


def scene(views: Cameras, photos: list[Tensor], held_out: tuple[int, ...] = ()) -> Any:
    """As much of a Scene as baking needs."""

    def view(index: int) -> Any:
        image = photos[index].round().clamp(0, 255).to(torch.uint8)
        return SimpleNamespace(name=f"{index:03}", camera=views[index], image=lambda: image, mask=lambda: None)

    train = [index for index in range(len(views)) if index not in held_out]
    return SimpleNamespace(
        name="cube", views=[view(index) for index in range(len(views))], train=train, held_out=list(held_out)
    )
