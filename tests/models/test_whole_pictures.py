"""Pictures drawn by the kernels and by the references are the same, whatever the model of rays."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from test_fields import write_ball

from nerfkit import cameras, models
from nerfkit.cameras import resize
from nerfkit.contracts import Channel, HasRays, Rays, SceneModel
from nerfkit.core import (
    choose_core,
    reference,
    reference_frequency,
    reference_hash_grid,
    reference_march,
    reference_ray_samples,
    reference_resample,
)
from nerfkit.data.scene import Scene
from nerfkit.models.fields.model import FieldModel
from nerfkit.train.passes import backward

REFERENCE = SimpleNamespace(
    rays=cameras.rays, march=reference_march.march, composite=reference.composite, mlp=reference.mlp,
    hash_encode=reference_hash_grid.hash_encode, frequency_encode=reference_frequency.frequency_encode,
    resample=reference_resample.resample, sh_encode=reference.sh_basis,
    ray_ranges=reference_ray_samples.ray_ranges, intervals=reference_ray_samples.intervals,
    sample_points=reference_ray_samples.sample_points, to_cube=reference_ray_samples.to_cube,
    exp_density=reference_ray_samples.exp_density, opacity=reference_ray_samples.opacity,
)  # fmt: skip
_NERF = {"batch": 4096, "grid_cells": 32, "samples": 64, "depth": 2, "width": 32, "frequencies": 5}
_NGP = {"batch": 4096, "grid_cells": 32, "log2_size": 12, "levels": 4, "finest": 64, "samples": 64}
OPTIONS = {
    "ngp": _NGP,
    "ngp proposals": {**_NGP, "space": "contracted"},
    "nerf fast": _NERF,
    "nerf proposals": {**_NERF, "sampler": "proposals"},
    "nerf paper": {**_NERF, "preset": "paper", "coarse": 16, "fine": 16, "skip": 1, "lr": 3e-3},
    "nerf cones": {**_NERF, "antialias": True},
}


@pytest.fixture(scope="module")
def ball(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene.load(write_ball(tmp_path_factory.mktemp("ball") / "scene", side=40))


@pytest.mark.parametrize("name", OPTIONS)
def test_kernels_and_references_draw_the_same(name: str, ball: Scene) -> None:
    kind = name.split()[0]
    config = models.config_class(kind)(**OPTIONS[name])
    model = models.model_class(kind).create(config, ball, choose_core(), torch.device("cpu"))
    assert isinstance(model, FieldModel)
    rng = torch.Generator().manual_seed(0)
    for step in range(150):
        backward(model.losses(step / 150, rng))
        model.optimizer.step()
        model.optimizer.zero_grad()
        model.after_step(step / 150)
    camera = ball.views[ball.held_out[0]].camera
    drawn = model.render(camera).rgb
    assert float(drawn.std()) > 0.05  # there is something to see
    for part in (model, model.field, model.sampler, *_inner(model)):
        part.core = REFERENCE
    difference = (model.render(camera).rgb - drawn).abs().amax(2)
    if name in (
        "nerf paper",
        "ngp proposals",
        "nerf proposals",
    ):  # fine samples: rounding moves one in a near-empty interval by a good part of the interval
        assert float(difference.max()) < 1e-3
        assert float((difference > 1e-4).float().mean()) < 0.005
    else:
        assert float(difference.max()) < 1e-4


@pytest.mark.parametrize("crop", [False, True])
def test_rays_are_the_pixels_of_a_picture(ball: Scene, crop: bool) -> None:
    model = models.model_class("ngp").create(
        models.config_class("ngp")(**OPTIONS["ngp"]), ball, choose_core(), torch.device("cpu")
    )
    whole: SceneModel = model.cropped(lambda xyz: xyz[:, 2] > 0) if crop else model
    assert isinstance(whole, HasRays)
    camera = resize(ball.views[0].camera, 30, 20)
    channels: frozenset[Channel] = frozenset({"rgb", "alpha", "depth", "normal"})
    picture = whole.render(camera, channels)
    pixels = cameras.pixel_centers(30, 20).view(-1, 2)
    rays = cameras.rays(camera, torch.zeros(600, dtype=torch.int64), pixels)
    drawn = whole.draw_rays(rays, channels)
    assert drawn.rgb is not None and picture.rgb is not None and float(picture.rgb.std()) > 1e-4
    assert drawn.depth is not None and picture.depth is not None
    cosine = rays.directions @ camera.world_from_cam[0, :3, 2]
    torch.testing.assert_close(drawn.rgb.view(20, 30, 3), picture.rgb, atol=1e-4, rtol=0)
    torch.testing.assert_close((drawn.depth * cosine).view(20, 30), picture.depth, atol=1e-3, rtol=1e-3)
    assert drawn.background is not None and drawn.extras["confidence"].shape == (600,)
    few = whole.draw_rays(Rays(rays.origins[:7], rays.directions[:7], rays.camera_index[:7]), frozenset({"rgb"}))
    assert few.rgb is not None and few.rgb.shape == (7, 3) and few.depth is None


def _inner(model: FieldModel) -> list[object]:
    """Whatever else holds a core: the networks, and the coarse field with its own."""
    fields = [model.field, *([model.sampler.field] if hasattr(model.sampler, "field") else [])]
    fields += getattr(model.sampler, "guides", [])
    networks = [field.network for field in fields if hasattr(field, "network")]
    return [*fields[1:], *(network for network in networks if hasattr(network, "core"))]
