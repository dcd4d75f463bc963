"""Gaussians on surfaces, sharp and unlike their mirror images, and photos of them: what pages and viewers show."""

from __future__ import annotations

import json
import math
from pathlib import Path

import imageio.v3 as iio
import torch
from torch import Tensor

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras, Gaussians
from nerfkit.splats.judge import draw
from nerfkit.train.device import choose
from nerfkit.value_transforms import SH_C0

SIZE = (320, 240)
ANGLE = 50.0  # degrees across the shorter side


def painted_gaussians() -> Gaussians:
    """A chequered floor with a ball and a post on it, +Z up, with colours that change with the direction."""
    rng = torch.Generator().manual_seed(4)
    x, y = (value.flatten() for value in torch.meshgrid(*[torch.linspace(-1.5, 1.5, 50)] * 2, indexing="ij"))
    floor = torch.stack([x, y, torch.zeros_like(x)], 1)
    dark = ((x * 2).floor() + (y * 2).floor()) % 2 == 0
    paint = torch.where(dark[:, None], torch.tensor([0.15, 0.2, 0.45]), torch.tensor([0.9, 0.85, 0.7]))
    ball, post = _sphere(1200), _sphere(700) * torch.tensor([0.35, 0.35, 1.6])
    parts = [
        (floor, paint, torch.tensor([0.04, 0.04, 0.004])),
        (ball * 0.5 + torch.tensor([0.5, 0.2, 0.5]), (ball + 1) / 2, torch.tensor([0.03, 0.03, 0.03])),
        (post * 0.5 + torch.tensor([-0.7, -0.4, 0.8]), torch.tensor([0.8, 0.25, 0.1]) * (1 - 0.3 * post[:, 2:].abs()),
         torch.tensor([0.02, 0.02, 0.06])),
    ]  # fmt: skip
    means = torch.cat([places for places, _, _ in parts])
    colors = torch.cat([paint for _, paint, _ in parts])
    scales = torch.cat([scale.expand(len(places), 3) for places, _, scale in parts])
    sh = torch.randn(len(means), 16, 3, generator=rng) * 0.03
    sh[:, 0] = (colors - 0.5) / SH_C0
    quats = torch.tensor([1.0, 0, 0, 0]).repeat(len(means), 1)
    opacities = 0.7 + 0.29 * torch.rand(len(means), generator=rng)
    return Gaussians(means, quats, scales.contiguous(), opacities, sh)


def camera(azimuth: float, elevation: float = 30.0, distance: float = 3.4) -> Cameras:
    """One camera that looks at the scene's middle, its horizon level."""
    around, steep = math.radians(azimuth), math.radians(elevation)
    eye = torch.tensor([math.cos(steep) * math.cos(around), math.cos(steep) * math.sin(around), math.sin(steep)])
    target = torch.tensor([0.0, 0.0, 0.4])
    pose = look_at(target + distance * eye, target, torch.tensor([0.0, 0.0, 1.0]))
    focal = SIZE[1] / 2 / math.tan(math.radians(ANGLE / 2))
    return Cameras(pose[None], torch.tensor([[focal, focal, SIZE[0] / 2, SIZE[1] / 2]]), *SIZE)


def ours(gaussians: Gaussians, seen: Cameras, background: Tensor | None = None) -> Tensor:
    """What nerfkit draws, [H, W, 3]."""
    return draw(choose("cpu")[1], gaussians, seen, torch.zeros(3) if background is None else background)


def write_photos(folder: Path, count: int = 10) -> Path:
    """A scene with poses: photos of the Gaussians from all around, and points, as transforms.json."""
    (folder / "images").mkdir(parents=True)
    gaussians, frames = painted_gaussians(), []
    for index in range(count):
        seen = camera(360 * index / count, 25 + 10 * (index % 2))
        image = (ours(gaussians, seen) * 255).round().to(torch.uint8).numpy()
        iio.imwrite(folder / f"images/{index:02d}.png", image)
        pose = seen.world_from_cam[0].clone()
        pose[:3, 1:3] *= -1  # transforms.json has OpenGL's camera axes
        frames.append({"file_path": f"images/{index:02d}.png", "transform_matrix": pose.tolist()})
    colors = ((gaussians.sh[:, 0] * SH_C0 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)
    rows = [f"{x} {y} {z} {r} {g} {b}" for (x, y, z), (r, g, b) in zip(gaussians.means.tolist(), colors.tolist())][::3]
    kinds = [f"property {kind}" for kind in ("float x", "float y", "float z", "uchar red", "uchar green", "uchar blue")]
    head = ["ply", "format ascii 1.0", f"element vertex {len(rows)}", *kinds, "end_header"]
    (folder / "points.ply").write_text("\n".join([*head, *rows, ""]))
    fx, fy, cx, cy = camera(0).intrinsics[0].tolist()
    told = {
        "fl_x": fx,
        "fl_y": fy,
        "cx": cx,
        "cy": cy,
        "w": SIZE[0],
        "h": SIZE[1],
        "frames": frames,
        "ply_file_path": "points.ply",
    }
    (folder / "transforms.json").write_text(json.dumps(told))
    return folder


def _sphere(count: int) -> Tensor:
    """Points of a unit sphere, evenly spread (Fibonacci's lattice): [count, 3]."""
    index = torch.arange(count) + 0.5
    z, turn = 1 - 2 * index / count, index * math.pi * (3 - math.sqrt(5))
    return torch.stack([(1 - z * z).sqrt() * turn.cos(), (1 - z * z).sqrt() * turn.sin(), z], 1)
