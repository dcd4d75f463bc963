"""Photos of one scene at different exposures: the differences are measured and learned, and renders have the mean."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nerfkit.cameras import look_at
from nerfkit.cli.export import judge_of
from nerfkit.contracts import Cameras
from nerfkit.core import choose_core
from nerfkit.data import exposure
from nerfkit.data.scene import Scene
from nerfkit.data.similarity import Similarity
from nerfkit.models.gaussians.config import Config, default_background
from nerfkit.models.gaussians.exposure import PictureExposures
from nerfkit.models.gaussians.model import Model
from nerfkit.models.gaussians.parameters import activate, initial
from nerfkit.models.photos import default_exposure
from nerfkit.train.metrics import psnr
from nerfkit.train.passes import backward

SIDE = 48
CPU = torch.device("cpu")
STOPS = torch.tensor([-1.0, 0.6, -0.3, 0.9, 0.2, -0.7, 0.4, -0.1])  # of each photo; their mean is 0


class View:
    """A drawn photo at some exposure."""

    mask_path, has_mask = None, False

    def __init__(self, name: str, camera: Cameras, pixels: Tensor):
        self.name, self.camera, self.pixels = name, camera, pixels

    def image(self) -> Tensor:
        return self.pixels

    def mask(self) -> Tensor | None:
        return None


def exposed(srgb: Tensor, stops: float) -> Tensor:
    """sRGB values of 2 ** stops times the light, as uint8."""
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) * 2**stops
    again = torch.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clamp_min(1e-9) ** (1 / 2.4) - 0.055)
    return (again.clamp(0, 1) * 255).round().byte()


@pytest.fixture(scope="module")
def scenes() -> dict[str, Any]:
    """The same ball of blobs before black, photographed alike and not."""
    rng = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(600, 3, generator=rng), dim=1) * 0.6
    colors = (torch.rand(600, 3, generator=rng) * 110 + 60).byte()
    world = activate(initial(points, colors, 0.95, rng))
    angle = torch.arange(len(STOPS)) * (2 * math.pi / len(STOPS))
    eyes = torch.stack([2.2 * angle.cos(), 2.2 * angle.sin(), torch.full_like(angle, 0.5)], 1)
    poses = look_at(eyes, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    cameras = [Cameras(pose[None].float(), torch.tensor([[60.0, 60.0, 24.0, 24.0]]), SIDE, SIDE) for pose in poses]
    core = choose_core()
    truth = [core.rasterize(world, c, torch.zeros(3)).image.permute(1, 2, 0).clamp(0, 1) for c in cameras]

    def scene(stops: Tensor) -> Any:
        views = [View(str(i), c, exposed(t, float(s))) for i, (c, t, s) in enumerate(zip(cameras, truth, stops))]
        train = list(range(len(views)))
        return Scene("ball", views, points, colors, Similarity.identity(), train, [], False, Path("scene"))  # type: ignore[arg-type]

    return {"alike": scene(torch.zeros(len(STOPS))), "different": scene(STOPS), "truth": truth}


def test_exposures_are_measured_by_the_points(scenes: dict[str, Any]) -> None:
    gains = exposure.gains(scenes["different"])
    assert gains is not None
    found = 2.4 * gains.log2().mean(1)
    assert (found - STOPS).abs().max() < 0.25  # half of the points are hidden in each photo
    assert exposure.stops(gains) == pytest.approx(float(STOPS.std(correction=0)), abs=0.1)
    alike = exposure.gains(scenes["alike"])
    assert alike is not None and exposure.stops(alike) < 0.1


def test_what_tells_nothing_is_no_exposure(scenes: dict[str, Any]) -> None:
    scene = dataclasses.replace(scenes["different"], points_are_random=True)
    assert exposure.gains(scene) is None
    scene.points_are_random, scene.point_colors = False, torch.full_like(scene.point_colors, 128)
    assert exposure.gains(scene) is None
    scene.point_colors, scene.points = scenes["different"].point_colors, scene.points + 100
    assert exposure.gains(scene) is None


def test_default_follows_the_photos(scenes: dict[str, Any]) -> None:
    assert default_exposure(scenes["alike"]) == "off"
    assert default_exposure(scenes["different"]) == "on"
    assert Config().for_scene(scenes["different"], "cpu").exposure == "on"
    assert Config(exposure="off").for_scene(scenes["different"], "cpu").exposure == "off"
    assert Config.kept({"cap": 100}).exposure == "off"  # as runs were before there was a choice


def test_photos_are_looked_into_once(scenes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the default and by the maps it turns on: of photos that the cache doesn't hold each look is a decoding."""
    looks: list[str] = []
    image = View.image
    monkeypatch.setattr(View, "image", lambda self: (looks.append(self.name), image(self))[1])
    scene = dataclasses.replace(scenes["different"])
    assert default_exposure(scene) == "on"
    exposures = PictureExposures(scene, choose_core(), 1e-3, CPU)
    exposures.begin()
    assert exposures.offsets.any() and sorted(looks) == [view.name for view in scene.views]


def test_renders_have_the_mean_exposure_of_all_photos(scenes: dict[str, Any]) -> None:
    scores = {choice: trained(scenes, choice)[1] for choice in ("on", "off")}
    assert scores["on"] > 27 and scores["on"] > scores["off"] + 3, scores


def trained(scenes: dict[str, Any], choice: Any, steps: int = 160) -> tuple[Model, float]:
    """A model of the differing photos, and the PSNR of its renders beside the photos as all alike."""
    config = Config(cap=600, exposure=choice, sh_degree=0, densify_events=0, coarse_levels=0, background="black")
    model = Model.create(config, scenes["different"], choose_core(), CPU)
    rng = torch.Generator().manual_seed(0)
    for step in range(steps):
        backward(model.losses(step / steps, rng))
        for optimizer in model.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
        model.after_step(step / steps)
    pairs = zip(scenes["different"].views, scenes["truth"])
    values = [psnr(model.render(view.camera).rgb, photo) for view, photo in pairs]  # type: ignore[arg-type]
    return model, sum(values) / len(values)


def test_state_comes_back(scenes: dict[str, Any]) -> None:
    model, _ = trained(scenes, "on", steps=20)
    other = Model.create(model.config, scenes["different"], choose_core(), CPU)
    other.load_state_dict(model.state_dict())
    one, two = (
        torch.stack([sum(m.losses(0.5, torch.Generator().manual_seed(i)).values()) for i in range(3)])  # type: ignore[misc]
        for m in (model, other)
    )
    assert torch.equal(one, two)
    assert model.exposures is not None and other.exposures is not None
    mine, its = model.exposures.state_dict(), other.exposures.state_dict()
    assert mine["steps"] == its["steps"] and sum(mine["steps"]) == 20
    assert all(torch.equal(mine[name], its[name]) for name in ("offsets", "m", "v"))


def test_maps_that_have_not_begun_begin_after_they_come_back(scenes: dict[str, Any]) -> None:
    """As of a run that was stopped before its first step."""
    one, two = (PictureExposures(scenes["different"], choose_core(), 1e-3, CPU) for _ in range(2))
    two.load_state_dict(one.state_dict())
    grey = torch.full((3, 4, 5), 0.5)
    assert torch.equal(one.expose(grey, 0), two.expose(grey, 0)) and float(two.offsets[0].detach().abs().max()) > 0.1
    older = {name: value for name, value in one.state_dict().items() if name != "has_begun"}
    three = PictureExposures(scenes["alike"], choose_core(), 1e-3, CPU)
    three.load_state_dict(older)
    assert torch.equal(three.expose(grey, 0), one.expose(grey, 0))


def test_a_photo_that_is_kept_is_not_decoded_again(scenes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A scene of more photos than its cache holds would else decode one in each step, to look for a mask."""
    views = [View(view.name, view.camera, view.pixels) for view in scenes["different"].views]
    scene = dataclasses.replace(scenes["different"], views=views)
    for view in scene.views:
        view.has_mask = True
    config = Config(cap=600, exposure="on", masks="empty", background="black", coarse_levels=0)
    model = Model.create(config, scene, choose_core(), CPU)
    rng = torch.Generator().manual_seed(0)
    for _ in scene.views:
        model.losses(0.5, rng)
    for name in ("image", "mask"):
        monkeypatch.setattr(View, name, lambda self: pytest.fail("decoded once more"))
    assert model.losses(0.5, rng)["photo"] > 0


def test_a_run_is_drawn_without_its_photos(scenes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, _ = trained(scenes, "on", steps=5)
    monkeypatch.setattr(View, "image", lambda self: pytest.fail("the photo is gone"))
    other = Model.create(model.config, scenes["different"], choose_core(), CPU)
    other.load_state_dict(model.state_dict())
    camera = scenes["different"].views[0].camera
    assert torch.equal(other.render(camera).rgb, model.render(camera).rgb)  # type: ignore[arg-type]


def test_exports_are_judged_by_renders_where_photos_differ(scenes: dict[str, Any]) -> None:
    for choice in ("on", "off"):
        model, _ = trained(scenes, choice, steps=5)
        judge = judge_of(model, scenes["different"], Similarity.identity(), model.gaussians())
        assert (judge.psnr(model.gaussians()) == 100) == (choice == "on")


def test_what_lies_behind_a_mask_has_no_exposure(scenes: dict[str, Any]) -> None:
    exposures = PictureExposures(scenes["different"], choose_core(), 1e-3, CPU)
    background, alpha = torch.tensor([0.2, 0.9, 0.4]), torch.zeros(4, 5)
    alpha[:, 2:] = 1
    seen = torch.full((3, 4, 5), 0.5) * alpha + background[:, None, None] * (1 - alpha)
    out = exposures.expose(seen, 0, (background, 1 - alpha))
    assert torch.allclose(out[:, :, :2], background[:, None, None].expand(3, 4, 2), atol=1e-6)
    assert torch.allclose(out[:, :, 2:], exposures.expose(torch.full((3, 4, 3), 0.5), 0), atol=1e-6)
    assert float(out[:, :, 2:].detach().mean()) < 0.42  # photo 0 is a stop darker than the mean


def test_mean_of_all_maps_is_the_identity(scenes: dict[str, Any]) -> None:
    exposures = PictureExposures(scenes["different"], choose_core(), 1e-3, CPU)
    exposures.begin()
    with torch.no_grad():
        exposures.offsets[3] += 0.3
    exposures.center()
    assert exposures.offsets.mean(0).abs().max() < 1e-6
    assert float((exposures.offsets[3] - exposures.offsets[4]).detach().mean()) > 0.25


def test_dark_things_are_no_holes(scenes: dict[str, Any]) -> None:
    """What is black could as well be a hole in front of black."""
    seen = {}
    for background in ("auto", "black"):
        views = [View(view.name, view.camera, torch.zeros_like(view.pixels)) for view in scenes["alike"].views]
        scene = dataclasses.replace(scenes["alike"], views=views)
        config: Any = Config(cap=600, sh_degree=0, densify_events=0, coarse_levels=0, background=background)
        model = Model.create(config, scene, choose_core(), CPU)
        rng = torch.Generator().manual_seed(0)
        for step in range(150):
            backward(model.losses(step / 150, rng))
            model.optimizer.step()
            model.optimizer.zero_grad()
        found = model.render(scene.views[0].camera, frozenset({"rgb", "alpha"}))
        assert found.rgb is not None and found.alpha is not None and found.background is not None
        assert float(found.rgb[16:32, 16:32].mean()) < 0.15 and (found.background == 0).all()
        seen[background] = float(found.alpha[16:32, 16:32].mean())
    assert seen["auto"] > 0.9 and seen["black"] < 0.6, seen


def test_last_steps_are_before_the_colour_of_renders(scenes: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still see-through then is to look right before it."""
    behind: list[Tensor] = []

    def colors(model: Model) -> list[bool]:
        behind.clear()
        own: Any = model.core.photo_step

        def photo_step(gaussians: Any, camera: Cameras, background: Tensor, *rest: Any, **options: Any) -> Any:
            behind.append(background)
            return own(gaussians, camera, background, *rest, **options)

        monkeypatch.setattr(model.core, "photo_step", photo_step)
        rng = torch.Generator().manual_seed(0)
        for progress in (0.0, 0.5, 0.75, 0.85, 1.0):
            model.losses(progress, rng)
        monkeypatch.undo()
        return [torch.equal(one, model.background) for one in behind]

    scene, config = scenes["alike"], Config(cap=600, background="auto")
    assert colors(Model.create(config, scene, choose_core(), CPU)) == [False, False, False, True, True]
    cut_out = dataclasses.replace(scene, has_alpha=True)
    assert colors(Model.create(config, cut_out, choose_core(), CPU)) == [False] * 5
    assert colors(Model.create(Config(cap=600, background="random"), scene, choose_core(), CPU)) == [False] * 5
    assert colors(Model.create(Config(cap=600, background="white"), scene, choose_core(), CPU)) == [True] * 5


def test_a_plain_backdrop_is_the_background(scenes: dict[str, Any]) -> None:
    assert default_background(scenes["alike"]) == "black"  # the ball is before black
    views = [View(view.name, view.camera, 255 - view.pixels) for view in scenes["alike"].views]
    scene = dataclasses.replace(scenes["alike"], views=views)
    assert default_background(scene) == default_background(scene, geometry=True) == "white"
    scene.has_alpha = True
    assert default_background(scene) == "auto"
    scene.has_alpha = False
    scene.views = [View(view.name, view.camera, view.pixels.clamp(20, 235)) for view in scene.views]
    assert default_background(scene) == "auto" and default_background(scene, geometry=True) == "black"
    assert Config(background="black").for_scene(scene, "cpu").background == "black"
