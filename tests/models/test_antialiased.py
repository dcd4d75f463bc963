"""Antialiased Gaussians as a model: pictures of other sizes than the photos', exports, and runs from before."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nerfkit.cameras import look_at, resize
from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core import choose_core
from nerfkit.models.gaussians.config import Config
from nerfkit.models.gaussians.model import Model
from nerfkit.models.gaussians.parameters import activate, initial
from nerfkit.splats.coverage import plain
from nerfkit.train.metrics import psnr
from nerfkit.train.passes import backward

SIDE, FINE = 48, 4  # pixels of a photo's side, and of each of these when it is taken


class Photo:
    mask_path, has_mask = None, False

    def __init__(self, name: str, camera: Cameras, colors: torch.Tensor):
        self.name, self.camera, self.pixels = name, camera, (colors * 255).round().byte()

    def image(self) -> torch.Tensor:
        return self.pixels

    def mask(self) -> None:
        return None


@pytest.fixture(scope="module")
def scene() -> Any:
    """A ball of fine grains, photographed as cameras do: each pixel is the mean of what falls on it."""
    rng = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(3000, 3, generator=rng), dim=1) * 0.6
    colors = (torch.rand(3000, 3, generator=rng) * 200 + 30).byte()
    world = activate(initial(points, colors, 0.95, rng))
    angle = torch.arange(8) * (2 * math.pi / 8)
    eyes = torch.stack([2.2 * angle.cos(), 2.2 * angle.sin(), torch.full_like(angle, 0.5)], 1)
    poses = look_at(eyes, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    cameras = [Cameras(pose[None].float(), torch.tensor([[60.0, 60.0, 24.0, 24.0]]), SIDE, SIDE) for pose in poses]
    views = [Photo(str(index), camera, photo(world, camera, SIDE)) for index, camera in enumerate(cameras)]
    return SimpleNamespace(
        views=views, train=list(range(8)), held_out=[], points=points[::2], point_colors=colors[::2], world=world,
        points_are_random=False, has_alpha=False, source=Path("scene"),
    )  # fmt: skip


def photo(world: Gaussians, camera: Cameras, side: int) -> torch.Tensor:
    """A picture [side, side, 3] of the world: pixels are means of smaller ones."""
    image = picture(world, camera, FINE * SIDE).permute(2, 0, 1)[None]
    return torch.nn.functional.avg_pool2d(image, FINE * SIDE // side)[0].permute(1, 2, 0)


def picture(gaussians: Gaussians, camera: Cameras, side: int) -> torch.Tensor:
    drawn = choose_core().rasterize(gaussians, resize(camera, side, side), torch.zeros(3))
    return drawn.image.permute(1, 2, 0).clamp(0, 1)


def trained(scene: Any, antialiased: bool, steps: int = 160) -> Model:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    config = Config(antialiased=antialiased, background="black", exposure="off", cap=2000)
    model = Model.create(config, scene, choose_core(), torch.device("cpu"))
    for step in range(steps):
        backward(model.losses(step / steps, rng))
        for optimizer in model.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
        model.after_step(step / steps)
    return model


def test_smaller_pictures_than_the_photos_are_right(scene: Any) -> None:
    camera = scene.views[0].camera
    models = {on: trained(scene, on) for on in (True, False)}
    for side, least, better in [(SIDE // 2, 26, 3), (SIDE // 4, 20, 5)]:
        truth = photo(scene.world, camera, side)
        scores = {on: psnr(picture(model.gaussians(), camera, side), truth) for on, model in models.items()}
        assert scores[True] > least and scores[True] > scores[False] + better, (side, scores)


def test_what_is_exported_looks_alike_at_the_photos_size(scene: Any) -> None:
    gaussians = trained(scene, True).gaussians()
    flat = plain(gaussians, [view.camera for view in scene.views])
    camera = scene.views[3].camera
    assert gaussians.antialiased and not flat.antialiased
    assert psnr(picture(flat, camera, SIDE), picture(gaussians, camera, SIDE)) > 30


def test_it_is_the_default_but_not_of_older_runs() -> None:
    assert Config().antialiased and not Config.kept({"cap": 100}).antialiased
    assert Config.kept({"antialiased": True}).antialiased
