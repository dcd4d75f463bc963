"""Mask files that hide what stands before a scene, and those that cut an object out of it."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras
from nerfkit.core import choose_core
from nerfkit.data.masks import hide_the_scene
from nerfkit.data.scene import Scene
from nerfkit.data.similarity import Similarity
from nerfkit.models.gaussians.config import Config
from nerfkit.models.gaussians.model import Model
from nerfkit.models.gaussians.parameters import activate, initial
from nerfkit.models.photos import default_masks
from nerfkit.train.evaluate import evaluate, ground_truth, measure
from nerfkit.train.metrics import psnr
from nerfkit.train.passes import backward
from nerfkit.train.report import images

SIDE, COUNT = 48, 8
CPU = torch.device("cpu")


class View:
    def __init__(self, number: int, camera: Cameras, pixels: Tensor, mask: Tensor | None):
        self.name, self.camera, self.pixels, self.masked = str(number), camera, pixels, mask
        self.mask_path = None if mask is None else Path(f"{number}.png")
        self.has_mask = mask is not None

    def image(self) -> Tensor:
        return self.pixels

    def mask(self) -> Tensor | None:
        return self.masked


@pytest.fixture(scope="module")
def scenes() -> dict[str, Any]:
    """A ball of blobs: a magenta block before it in each photo, masked; or its outside cut off by masks."""
    rng = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(600, 3, generator=rng), dim=1) * 0.6
    colors = (torch.rand(600, 3, generator=rng) * 110 + 60).byte()
    world = activate(initial(points, colors, 0.95, rng))
    angle = torch.arange(COUNT) * (2 * math.pi / COUNT)
    eyes = torch.stack([2.2 * angle.cos(), 2.2 * angle.sin(), torch.full_like(angle, 0.5)], 1)
    poses = look_at(eyes, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    cameras = [Cameras(pose[None].float(), torch.tensor([[60.0, 60.0, 24.0, 24.0]]), SIDE, SIDE) for pose in poses]
    drawn = [choose_core().rasterize(world, camera, torch.zeros(3)) for camera in cameras]
    truth = [one.image.permute(1, 2, 0).clamp(0, 1) for one in drawn]

    train = list(range(COUNT))

    def scene(views: list[View], **others: Any) -> Any:
        plain = Scene("ball", views, points, colors, Similarity.identity(), train, [], False, Path("scene"))  # type: ignore[arg-type]
        return dataclasses.replace(plain, **others)

    passing, cut = [], []
    for number, (camera, photo, one) in enumerate(zip(cameras, truth, drawn)):
        pixels, mask = (photo * 255).round().byte(), torch.full((SIDE, SIDE), 255, dtype=torch.uint8)
        cut.append(View(number, camera, pixels, ((one.alpha > 0.01) * 255).byte()))
        x, y = 6 + 9 * (number % 3), 6 + 9 * (number // 3)
        pixels, mask[y : y + 18, x : x + 18] = pixels.clone(), 0
        pixels[y : y + 18, x : x + 18] = torch.tensor([200, 30, 200], dtype=torch.uint8)
        passing.append(View(number, camera, pixels, mask))
    return {"passing": scene(passing), "cut": scene(cut), "truth": truth, "scene": scene}


def test_points_tell_what_masks_mean(scenes: dict[str, Any]) -> None:
    assert hide_the_scene(scenes["passing"]) and default_masks(scenes["passing"], "gaussians") == "ignore"
    assert not hide_the_scene(scenes["cut"]) and default_masks(scenes["cut"], "gaussians") == "empty"
    few = [View(v.name, v.camera, v.pixels, v.mask() if i < 2 else None) for i, v in enumerate(scenes["passing"].views)]
    assert hide_the_scene(scenes["scene"](few))
    assert not hide_the_scene(scenes["scene"](scenes["passing"].views, has_alpha=True))
    assert hide_the_scene(scenes["scene"](scenes["passing"].views, points_are_random=True))
    none = [View(view.name, view.camera, view.pixels, None) for view in scenes["passing"].views]
    assert not hide_the_scene(scenes["scene"](none))
    assert Config().for_scene(scenes["passing"], "cpu").masks == "ignore"
    assert Config.kept({}).masks == "empty"  # as runs were before there was a choice


def trained(scene: Any, masks: Any, **options: Any) -> Model:
    options = {"background": "black"} | options
    config = Config(cap=600, masks=masks, exposure="off", sh_degree=0, densify_events=0, **options)
    model = Model.create(config, scene, choose_core(), CPU)
    rng = torch.Generator().manual_seed(0)
    for step in range(100):
        backward(model.losses(step / 100, rng))
        for optimizer in model.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
        model.after_step(step / 100)
    return model


def test_what_is_hidden_in_one_photo_is_learned_from_others(scenes: dict[str, Any]) -> None:
    scene = scenes["passing"]
    scores = {}
    for masks in ("ignore", "empty"):
        model = trained(scene, masks)
        pairs = [(model.render(view.camera).rgb, truth) for view, truth in zip(scene.views, scenes["truth"])]
        scores[masks] = sum(psnr(render, truth) for render, truth in pairs) / COUNT  # type: ignore[arg-type]
    assert scores["ignore"] > 32 and scores["ignore"] > scores["empty"] + 2, scores


def test_nothing_is_learned_of_hidden_pixels(scenes: dict[str, Any]) -> None:
    view = scenes["passing"].views[0]
    other = view.pixels.clone()
    other[view.mask() == 0] = torch.tensor([0, 255, 0], dtype=torch.uint8)  # someone else stands there
    other = View(0, view.camera, other, view.mask())  # type: ignore[assignment]
    gradients = []
    for one in (view, other):
        scene = scenes["scene"]([one], train=[0])
        model = Model.create(Config(cap=600, masks="ignore", ssim_weight=0.0), scene, choose_core(), CPU)
        backward(model.losses(0.9, torch.Generator().manual_seed(0)))
        gradients.append(model.params["sh"].grad)
    assert gradients[0].abs().sum() > 0
    assert torch.allclose(gradients[0], gradients[1], atol=1e-7)


def test_hidden_pixels_are_not_judged(scenes: dict[str, Any]) -> None:
    scene = scenes["passing"]
    model = trained(scene, "ignore")
    view = scene.views[2]
    found = measure(model, view)
    assert (found.truth[view.mask() == 0] == 0).all() and (found.render[view.mask() == 0] == 0).all()
    assert found.scores.psnr > 27
    shown = view.mask() == 255
    assert found.shown is not None and torch.equal(found.shown, shown)
    off = float((found.render - found.truth)[shown].double().square().mean())
    assert found.scores.psnr == pytest.approx(-10 * math.log10(off), abs=1e-6)  # what is hidden is no success
    assert torch.equal(ground_truth(model, view), view.pixels.float() / 255)


def test_reports_judge_the_same_pixels(scenes: dict[str, Any], tmp_path: Path) -> None:
    scene = scenes["passing"]
    model = trained(scene, "ignore")
    views = [*scene.views[:3], View(9, scene.views[0].camera, scene.views[0].pixels, torch.zeros(SIDE, SIDE).byte())]
    scores = evaluate(model, views, tmp_path)
    assert scores["views"] == 4 and scores["psnr"] == pytest.approx(evaluate(model, views[:3])["psnr"])
    found = images.measure(tmp_path)
    assert [view.name for view in found] == ["0", "1", "2"]  # of the last one there is nothing to judge
    assert sum(view.psnr for view in found) / 3 == pytest.approx(scores["psnr"], abs=1e-3)
    assert sum(view.ssim or 0 for view in found) / 3 == pytest.approx(scores["ssim"], abs=1e-5)


def test_random_backgrounds_go_with_masks_of_both_kinds(scenes: dict[str, Any]) -> None:
    """The photo over one background isn't kept for the next."""
    model = Model.create(Config(cap=600, masks="empty", background="random"), scenes["cut"], choose_core(), CPU)
    targets = [model.targets.of(0, torch.full((3,), grey), 0)[0].planes for grey in (0.1, 0.8)]
    assert (targets[0][:, 0, 0] == 0.1).all() and (targets[1][:, 0, 0] == 0.8).all()
    trained(scenes["passing"], "ignore", background="random")
