"""Scenes of cameras without photos, and a scene model that is exact: a ball on an endless chequered floor."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Cameras, Channel, Rendering
from nerfkit.data.images import PhotoCache
from nerfkit.data.scene import Scene
from nerfkit.data.similarity import Similarity
from nerfkit.data.view import PhotoView
from nerfkit.models.options import ModelOptions
from nerfkit.progress import ProgressSink, quiet

RADIUS, FLOOR = 0.3, -0.3
UP = torch.tensor([0.0, 0.0, 1.0])


def scene_of(
    eyes: Sequence[Sequence[float]] | Tensor,
    targets: Sequence[Sequence[float]] | Tensor | None = None,
    names: Sequence[str] | None = None,
    size: tuple[int, int] = (64, 48),
    held_out: Sequence[int] = (),
) -> Scene:
    """A scene of photos (that don't exist) taken from ``eyes`` [C, 3], by default towards the origin."""
    places = torch.as_tensor(eyes, dtype=torch.float32)
    looked_at = torch.zeros(3) if targets is None else torch.as_tensor(targets, dtype=torch.float32)
    poses = cameras.look_at(places, looked_at, UP)
    cache, (width, height) = PhotoCache(1), size
    intrinsics = torch.tensor([[width * 1.2, width * 1.25, width / 2 + 1, height / 2 - 2]])
    views = []
    for index, pose in enumerate(poses):
        camera = Cameras(pose[None], intrinsics, width, height)
        name = names[index] if names else f"{index:03d}"
        views.append(PhotoView(name, camera, Path(name), camera, cache))
    train = [index for index in range(len(views)) if index not in held_out]
    none = torch.zeros(0, 3)
    return Scene("made up", views, none, none.byte(), Similarity.identity(), train, list(held_out), False, Path())


def ring(count: int, start: float = 0, end: float = 360, radius: float = 0.8, height: float = 0.3) -> Tensor:
    """Places [count, 3] from one azimuth to another, degrees, the end itself left out."""
    angle = torch.deg2rad(start + (end - start) * torch.arange(count) / count)
    return torch.stack([radius * angle.cos(), radius * angle.sin(), torch.full((count,), height)], -1)


@dataclass
class Config(ModelOptions):
    """A ball has no options."""


class Model:
    name: ClassVar[str] = "ball"

    def __init__(self) -> None:
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    @classmethod
    def create(cls, config: Any, scene: Any, core: Any, device: torch.device) -> Self:
        return cls()

    def render(
        self, camera: Cameras, channels: frozenset[Channel] = frozenset({"rgb"}), progress: ProgressSink = quiet
    ) -> Rendering:
        pixels = cameras.pixel_centers(camera.width, camera.height).reshape(-1, 2)
        rays = cameras.rays(camera, torch.zeros(len(pixels), dtype=torch.int64), pixels)
        drawn = along(rays.origins, rays.directions, (camera.height, camera.width))
        assert drawn.depth is not None
        cosine = (rays.directions @ camera.world_from_cam[0, :3, 2]).view(camera.height, camera.width)
        drawn.depth = drawn.depth * cosine
        return drawn

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass


def along(o: Tensor, d: Tensor, shape: tuple[int, ...]) -> Rendering:
    """What rays from ``o`` along unit ``d`` [H * W, 3] see, in a picture of this shape; depth is the distance."""
    b, c = (o * d).sum(1), (o * o).sum(1) - RADIUS**2
    root = b * b - c
    ball = -b - root.clamp_min(0).sqrt()
    ball = torch.where((root > 0) & (ball > 0), ball, torch.inf)
    floor = torch.where(d[:, 2] < -1e-6, (FLOOR - o[:, 2]) / d[:, 2], torch.inf)
    t = torch.minimum(ball, floor)
    point = o + t.clamp_max(1e6)[:, None] * d
    normal = torch.where((ball < floor)[:, None], point / RADIUS, UP)
    chequer = (((point * 5).floor().sum(1) % 2) * 0.6 + 0.2)[:, None].expand(-1, 3)
    rgb = torch.where((ball < floor)[:, None], 0.5 + 0.5 * normal, chequer)
    seen = t.isfinite()
    return Rendering(
        rgb=torch.where(seen[:, None], rgb, 1.0).reshape(*shape, 3),
        alpha=seen.float().reshape(shape),
        depth=torch.where(seen, t, 0).reshape(shape),
        normal=torch.where(seen[:, None], normal, 0.0).reshape(*shape, 3),
    )


def register(models: dict[str, str]) -> None:
    """Puts the ball into a table of models, as a package of its own."""
    package, this = types.ModuleType("ball_model"), sys.modules[__name__]
    package.__path__ = []
    sys.modules.update({"ball_model": package, "ball_model.config": this, "ball_model.model": this})
    models["ball"] = "ball_model"
