"""A scene model that is exact: a coloured ball on a square table, ray cast in closed form."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Cameras, Rendering
from nerfkit.data.similarity import Similarity

RADIUS = 0.3
TABLE = -0.3  # its height: the ball stands on it
HALF = 0.45  # of the table's side


class BallOnTable:
    name = "analytic"

    def __init__(self, table: bool = True) -> None:
        self.table = table
        self.seen: list[Cameras] = []
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    def render(self, camera: Cameras, channels: frozenset[str] = frozenset(), progress: object = None) -> Rendering:
        self.seen.append(camera)
        rgb, depth = cast(camera, self.table)
        return Rendering(rgb=rgb, alpha=(depth > 0).float(), depth=depth)


def cast(camera: Cameras, table: bool = True) -> tuple[Tensor, Tensor]:
    """rgb [H, W, 3] and depth [H, W], exact at the pixel centres."""
    o, d, axis = pixel_rays(camera)
    b, c = (o * d).sum(1), (o * o).sum(1) - RADIUS**2
    root = b * b - c
    ball = torch.where(root > 0, -b - root.clamp_min(0).sqrt(), torch.inf)
    plane = (TABLE - o[:, 2]) / d[:, 2]
    hit = o + plane[:, None] * d
    on_table = (plane > 0) & (hit[:, :2].abs() <= HALF).all(1) & table
    plane = torch.where(on_table, plane, torch.inf)
    t = torch.minimum(ball, plane)
    point = o + t.clamp_max(1e6)[:, None] * d
    rgb = torch.where((ball < plane)[:, None], ball_color(point), table_color(point))
    rgb = torch.where(t.isfinite()[:, None], rgb, torch.ones(3, dtype=torch.float64))
    z = t * (d @ axis)
    depth = torch.where(t.isfinite(), z, 0)
    shape = camera.height, camera.width
    return rgb.float().reshape(*shape, 3), depth.float().reshape(shape)


def ball_color(point: Tensor) -> Tensor:
    """[P, 3] in [0, 1], smooth."""
    return (point / RADIUS * 0.4 + 0.5).clamp(0, 1)


def table_color(point: Tensor) -> Tensor:
    return torch.stack([0.2 + 0 * point[:, 0], 0.5 + point[:, 0] / 2, 0.3 + point[:, 1] / 2], 1).clamp(0, 1)


def ring(count: int = 24, width: int = 121, height: int = 99, below: bool = False) -> Cameras:
    """Cameras on two circles (three with ``below``) that look at the origin; an odd principal point."""
    angle = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    heights = torch.tensor([0.25, 0.8, -0.8] if below else [0.25, 0.8], dtype=torch.float64)
    z = heights[torch.arange(count) % len(heights)]
    eye = torch.stack([angle.cos(), angle.sin(), z], 1)
    pose = cameras.look_at(
        eye,
        torch.zeros(3, dtype=torch.float64),
        torch.tensor([0.0, 0, 1], dtype=torch.float64),
    )
    intrinsics = torch.tensor([[105.0, 107.0, 58.3, 51.2]]).expand(count, 4)
    return Cameras(pose.float(), intrinsics.contiguous(), width, height)


def scene(views: Cameras, scene_from_world: Similarity | None = None) -> Any:
    """As much of a Scene as meshing needs; every 8th view is held out."""
    generator = torch.Generator().manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(2000, 3, generator=generator), dim=1)
    table = (torch.rand(2000, 3, generator=generator) * 2 - 1) * torch.tensor([HALF, HALF, 0.0])
    table[:, 2] = TABLE
    return SimpleNamespace(
        name="ball",
        views=[_View(f"{i:03}", views[i]) for i in range(len(views))],
        points=torch.cat([direction * RADIUS, table]),
        point_colors=torch.full((4000, 3), 128, dtype=torch.uint8),
        scene_from_world=scene_from_world or Similarity.identity(),
        train=[i for i in range(len(views)) if i % 8],
        held_out=[i for i in range(len(views)) if i % 8 == 0],
        has_alpha=False,
        source=Path("ball"),
    )


class _View:
    """A photo of the ball on its table."""

    def __init__(self, name: str, camera: Cameras) -> None:
        self.name, self.camera = name, camera

    def image(self) -> Tensor:
        return (cast(self.camera)[0] * 255).round().to(torch.uint8)

    def mask(self) -> None:
        return None


def distance_to_truth(points: Tensor, table: bool = True) -> Tensor:
    """Distance of points [P, 3] to the nearer of ball and table."""
    ball = (points.norm(dim=1) - RADIUS).abs()
    if not table:
        return ball
    outside = (points[:, :2].abs() - HALF).clamp_min(0).norm(dim=1)
    return torch.minimum(ball, torch.hypot(outside, points[:, 2] - TABLE))


class SolidBall:
    """A density field: thick within the ball, nothing around it; or one that grows e-fold in ``softness`` inwards.

    The soft one has density ``at_surface`` on the ball's surface.
    """

    name = "solid"

    def __init__(self, softness: float = 0.0, at_surface: float = 1.0) -> None:
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.softness, self.at_surface = softness, at_surface
        self.asked = 0

    def density(self, xyz: Tensor) -> Tensor:
        assert xyz.ndim == 2 and xyz.dtype == torch.float32
        self.asked += len(xyz)
        inwards = RADIUS - xyz.norm(dim=1)
        if self.softness:
            return self.at_surface * torch.exp((inwards / self.softness).clamp(-60, 60))
        return torch.where(inwards > 0, 1e5, 0.0)


class ShiningBall(SolidBall):
    """Its colour depends on the place (red) and on where it is seen from (green, blue)."""

    def radiance(self, xyz: Tensor, directions: Tensor) -> Tensor:
        assert torch.allclose(directions.norm(dim=1), torch.ones(len(xyz)), atol=1e-5)
        return torch.cat([ball_color(xyz)[:, :1], 0.5 - 0.4 * directions[:, 1:]], 1)


class Shape:
    """A solid, ray cast in closed form: a ball, or a box with sides along the axes (thin: a sheet)."""

    name = "solid shape"

    def __init__(self, half: tuple[float, float, float] | None = None) -> None:
        self.half = None if half is None else torch.tensor(half, dtype=torch.float64)
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    def render(self, camera: Cameras, channels: frozenset[str] = frozenset(), progress: object = None) -> Rendering:
        if self.half is None:
            rgb, depth = cast(camera, table=False)
        else:
            rgb, depth = self._box(camera, self.half)
        return Rendering(rgb=rgb, alpha=(depth > 0).float(), depth=depth)

    def _box(self, camera: Cameras, half: Tensor) -> tuple[Tensor, Tensor]:
        """Where a ray is within all three pairs of planes."""
        o, d, axis = pixel_rays(camera)
        first, second = (-half - o) / d, (half - o) / d
        enters, leaves = torch.minimum(first, second).amax(1), torch.maximum(first, second).amin(1)
        hit = (enters < leaves) & (enters > 0)
        rgb = ball_color(o + torch.where(hit, enters, 0)[:, None] * d)
        z = torch.where(hit, enters * (d @ axis), 0)
        return rgb.float().reshape(camera.height, camera.width, 3), z.float().reshape(camera.height, camera.width)

    def distance(self, points: Tensor) -> Tensor:
        """Of points [P, 3] to the surface."""
        if self.half is None:
            return (points.norm(dim=1) - RADIUS).abs()
        beyond = points.abs() - self.half
        return (beyond.clamp_min(0).norm(dim=1) + beyond.amax(1).clamp_max(0)).abs()


def pixel_rays(camera: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """Origins and unit directions [H * W, 3] of the pixels' rays, and the optical axis, in double precision."""
    pixels = cameras.pixel_centers(camera.width, camera.height, torch.float64).reshape(-1, 2)
    double = Cameras(camera.world_from_cam.double(), camera.intrinsics.double(), camera.width, camera.height)
    rays = cameras.rays(double, torch.zeros(len(pixels), dtype=torch.int64), pixels)
    return rays.origins, rays.directions, double.world_from_cam[0, :3, 2]


def around(count: int, size: int = 160) -> Cameras:
    """Cameras all around the origin, above and below, whose principal points are off the images' centres."""
    k = torch.arange(count, dtype=torch.float64) + 0.5
    z, angle = 1 - 2 * k / count, k * math.pi * (1 + 5**0.5)
    eye = torch.stack([(1 - z * z).sqrt() * angle.cos(), (1 - z * z).sqrt() * angle.sin(), z], 1)
    pose = cameras.look_at(eye, torch.zeros(3, dtype=torch.float64), torch.tensor([0.0, 0.1, 1], dtype=torch.float64))
    intrinsics = torch.tensor([[1.05 * size, 1.07 * size, 0.43 * size, 0.55 * size]]).expand(count, 4)
    return Cameras(pose.float(), intrinsics.contiguous(), size, size - 10)
