"""What models of rays leave out of photos, and what they learn of each: passers-by behind masks, and exposures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import pytest
import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Cameras
from nerfkit.core import choose_core
from nerfkit.data.exposure import TOE
from nerfkit.data.resident import ResidentPixels, first_shown
from nerfkit.data.scene import Scene
from nerfkit.models.fields.batches import PixelBatches
from nerfkit.models.fields.exposure import RayExposures
from nerfkit.models.fields.model import FieldModel
from nerfkit.models.nerf.config import Config as NerfConfig
from nerfkit.models.nerf.model import Model as NerfModel
from nerfkit.models.ngp.config import Config
from nerfkit.models.ngp.model import Model
from nerfkit.train.evaluate import measure
from nerfkit.train.metrics import psnr
from nerfkit.train.passes import backward

CPU = torch.device("cpu")
RADIUS, SIDE, COUNT = 0.4, 40, 16
GAINS = torch.tensor([0.55, 1.3, 0.8, 1.35] * 4)  # of s + TOE
GAINS = GAINS / GAINS.mean()
SMALL = Config(
    batch=4096, memory=1.0, grid_cells=32, log2_size=12, levels=4, finest=64, width=16, samples=64, space="contracted",
    sampler="grid", masks="empty", exposure="off",
)  # fmt: skip
PAPER = NerfConfig(
    preset="paper", depth=2, width=16, frequencies=4, coarse=8, fine=8, memory=1.0, space="contracted", bf16=False
)  # fmt: skip
PASSER_BY = torch.tensor([200, 30, 200], dtype=torch.uint8)


def write_scene(folder: Path, passing: bool = False, gains: Tensor | None = None) -> tuple[Path, list[Tensor]]:
    """Photos of a painted ball before black, and the same without anyone who passes by and all at one exposure."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    frames: list[dict[str, Any]] = []
    clean = []
    for number in range(COUNT):
        angle, height = 2 * np.pi * number / COUNT, 0.6 * (-1) ** number
        eye = torch.tensor([np.cos(angle), np.sin(angle), height], dtype=torch.float32)
        pose = cameras.look_at(eye, torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
        camera = Cameras(pose[None], torch.tensor([[0.9 * SIDE, 0.9 * SIDE, SIDE / 2, SIDE / 2]]), SIDE, SIDE)
        pixels = cameras.pixel_centers(SIDE, SIDE).view(-1, 2)
        rays = cameras.rays(camera, torch.zeros(len(pixels), dtype=torch.int64), pixels)
        b = (rays.origins * rays.directions).sum(1)
        inside = b * b - (rays.origins**2).sum(1) + RADIUS**2
        normal = (rays.origins + (-b - inside.clamp_min(0).sqrt())[:, None] * rays.directions) / RADIUS
        photo = ((0.5 + 0.25 * torch.sin(5 * normal)) * (inside > 0)[:, None]).view(SIDE, SIDE, 3)
        clean.append(photo)
        if gains is not None:
            photo = ((photo + TOE) * gains[number] - TOE).clamp(0, 1)
        levels = (photo * 255).round().byte()
        pose[:3, 1:3] *= -1
        frames.append({"file_path": f"images/{number:02d}.png", "transform_matrix": pose.tolist()})
        if passing:
            x, y = 4 + 10 * (number % 3), 4 + 10 * (number // 3 % 3)
            levels[y : y + 14, x : x + 14] = PASSER_BY
            mask = np.full((SIDE, SIDE), 255, np.uint8)
            mask[y : y + 14, x : x + 14] = 0
            iio.imwrite(folder / f"masks/{number:02d}.png", mask)
            frames[-1]["mask_path"] = f"masks/{number:02d}.png"
        iio.imwrite(folder / f"images/{number:02d}.png", levels.numpy())
    intrinsics = {"fl_x": 0.9 * SIDE, "fl_y": 0.9 * SIDE, "cx": SIDE / 2, "cy": SIDE / 2, "w": SIDE, "h": SIDE}
    (folder / "transforms.json").write_text(json.dumps({**intrinsics, "frames": frames}))
    return folder, clean


@pytest.fixture(scope="module")
def passing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, list[Tensor]]:
    folder, clean = write_scene(tmp_path_factory.mktemp("passing") / "scene", passing=True)
    return Scene.load(folder, hold_out_every=0), clean


@pytest.fixture(scope="module")
def different(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, list[Tensor]]:
    folder, clean = write_scene(tmp_path_factory.mktemp("different") / "scene", gains=GAINS)
    scene = Scene.load(folder, hold_out_every=0)
    points = torch.nn.functional.normalize(torch.randn(2000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    colors = ((0.5 + 0.25 * torch.sin(5 * points)) * 255).byte()
    at = scene.scene_from_world.points(points * RADIUS)
    return dataclasses.replace(scene, points=at.float(), point_colors=colors, points_are_random=False), clean


def trained(scene: Scene, steps: int, **options: Any) -> Model:
    model = Model.create(dataclasses.replace(SMALL, **options), scene, choose_core(), CPU)
    rng = torch.Generator().manual_seed(0)
    for step in range(steps):
        backward(model.losses(step / steps, rng))
        model.optimizer.step()
        model.optimizer.zero_grad()
        model.after_step(step / steps)
    return model


def score(model: Model, scene: Scene, photos: list[Tensor]) -> float:
    chosen = range(0, COUNT, 4)
    return sum(psnr(model.render(scene.views[i].camera).rgb, photos[i]) for i in chosen) / len(chosen)  # type: ignore[arg-type]


# --- masks ------------------------------------------------------------------------------------------------


def test_hidden_pixels_are_hardly_ever_drawn() -> None:
    pixels = torch.tensor([[5, 6, 7], [8, 9, 10], [1, 2, 3]])
    alphas = torch.tensor([[0, 9, 0], [255, 0, 255], [0, 0, 0]], dtype=torch.uint8)
    assert first_shown(pixels, alphas).tolist() == [6, 8, 1]
    assert first_shown(pixels, None).tolist() == [5, 8, 1]


@pytest.mark.parametrize("resident", [False, True])
def test_batches_tell_what_is_shown(
    passing: tuple[Scene, list[Tensor]], resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the photos themselves, and from their pixels side by side as on a GPU."""
    scene = passing[0]
    monkeypatch.setattr(PixelBatches, "are_resident", lambda self: resident)
    every = PixelBatches(scene, choose_core()).draw(4000, torch.Generator().manual_seed(0))
    batch = PixelBatches(scene, choose_core(), ignores_masks=True).draw(4000, torch.Generator().manual_seed(0))
    assert every.shown is None and every.alphas is not None and batch.shown is not None and batch.alphas is None
    hidden = 14 * 14 / SIDE**2
    assert float((every.alphas == 0).float().mean()) == pytest.approx(hidden, rel=0.2)
    assert float((batch.shown == 0).float().mean()) < 0.1 * hidden
    is_magenta = (batch.colors - PASSER_BY / 255).abs().amax(1) < 0.01
    assert torch.equal(is_magenta, batch.shown == 0)


def test_resident_pixels_are_of_their_photo(passing: tuple[Scene, list[Tensor]]) -> None:
    views = passing[0].views
    pixels = ResidentPixels(views, True, CPU)
    at, colors, alphas = pixels.draw(torch.tensor([3, 0]), 50, torch.Generator().manual_seed(0), tries=4)
    x, y = (at - 0.5).long().unbind(1)
    for view, part in ((views[3], slice(0, 50)), (views[0], slice(50, 100))):
        mask = view.mask()
        assert torch.equal(colors[part], view.image()[y[part], x[part]])
        assert mask is not None and alphas is not None and torch.equal(alphas[part], mask[y[part], x[part]])


@pytest.mark.parametrize("kind", [Model, NerfModel])
def test_nothing_is_learned_of_hidden_pixels(
    kind: type[FieldModel], passing: tuple[Scene, list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of the few that are drawn: without other tries, all as often as others."""
    from nerfkit.models.fields import batches

    monkeypatch.setattr(batches, "_TRIES", 1)
    scene = passing[0]
    gradients = []
    for color in (PASSER_BY, 255 - PASSER_BY):
        config = SMALL if kind is Model else PAPER
        model = kind.create(dataclasses.replace(config, masks="ignore"), scene, choose_core(), CPU)
        drawn = model.batches.draw(2000, torch.Generator().manual_seed(1))
        assert drawn.shown is not None and float((drawn.shown == 0).float().mean()) > 0.05
        colors = torch.where(drawn.shown[:, None] == 0, color / 255, drawn.colors)
        monkeypatch.setattr(model.batches, "draw", lambda *_: dataclasses.replace(drawn, colors=colors))  # noqa: B023
        losses = model.losses(0.5, torch.Generator().manual_seed(0))
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        gradients.append(torch.cat([p.grad.flatten() for p in model.params.values() if p.grad is not None]))
    assert gradients[0].abs().sum() > 0
    assert torch.allclose(gradients[0], gradients[1], atol=1e-9)


def test_what_is_hidden_in_one_photo_is_learned_from_others(passing: tuple[Scene, list[Tensor]]) -> None:
    scene, clean = passing
    models = {masks: trained(scene, 250, masks=masks) for masks in ("ignore", "empty")}
    assert models["ignore"].ignores_masks and not models["empty"].ignores_masks
    scores = {masks: score(model, scene, clean) for masks, model in models.items()}
    assert scores["ignore"] > scores["empty"] + 2, scores
    judged = measure(models["ignore"], scene.views[0])
    assert (judged.render[scene.views[0].mask() == 0] == 0).all()


@pytest.mark.parametrize("options", [Config, NerfConfig])
def test_defaults_follow_the_photos(
    options: type[Any], passing: tuple[Scene, list[Tensor]], different: tuple[Scene, list[Tensor]]
) -> None:
    chosen = options().for_scene(passing[0], "cpu")
    assert (chosen.masks, chosen.exposure) == ("ignore", "off")
    assert options(masks="empty").for_scene(passing[0], "cpu").masks == "empty"
    chosen = options().for_scene(different[0], "cpu")
    assert (chosen.masks, chosen.exposure) == ("empty", "on")
    assert options(appearance=4).for_scene(different[0], "cpu").exposure == "off"


def test_runs_from_before_there_was_a_choice_stay_as_they_are() -> None:
    for old in (Config.kept({}), NerfConfig.kept({}), NerfConfig.kept({"preset": "paper"})):
        assert (old.masks, old.exposure) == ("empty", "off")
    assert (Config.kept({}).sampler, NerfConfig.kept({"preset": "paper"}).sampler) == ("grid", "auto")


# --- exposures --------------------------------------------------------------------------------------------


def test_renders_have_the_mean_exposure_of_all_photos(different: tuple[Scene, list[Tensor]]) -> None:
    scene, clean = different
    scores = {choice: score(trained(scene, 150, exposure=choice), scene, clean) for choice in ("on", "off")}
    assert scores["on"] > scores["off"] + 2.5, scores


def test_maps_begin_as_the_points_tell_and_stay_around_the_identity(different: tuple[Scene, list[Tensor]]) -> None:
    model = trained(different[0], 20, exposure="on")
    assert model.exposures is not None
    offsets = model.exposures.offsets.detach()
    assert offsets.mean(0).abs().max() < 1e-6
    found = 1 + offsets[:, [0, 1, 2], [0, 1, 2]].mean(1)
    torch.testing.assert_close(found, GAINS, atol=0.08, rtol=0)


def test_each_ray_has_the_exposure_of_its_photo(different: tuple[Scene, list[Tensor]]) -> None:
    exposures = RayExposures(different[0], CPU)
    exposures.begin()
    rgb, alpha = torch.rand(6, 3), torch.rand(6)
    seen = exposures.expose(rgb, torch.tensor([2, 0]), alpha)
    whole = exposures.expose(rgb, torch.tensor([2, 0]))
    for row, photo in enumerate([2, 2, 2, 0, 0, 0]):
        matrix = exposures.identity + exposures.offsets[photo]
        torch.testing.assert_close(seen[row], matrix[:, :3] @ rgb[row] + matrix[:, 3] * alpha[row])
        torch.testing.assert_close(whole[row], matrix[:, :3] @ rgb[row] + matrix[:, 3])


def test_what_lies_behind_a_cut_out_has_no_exposure(passing: tuple[Scene, list[Tensor]]) -> None:
    model = Model.create(dataclasses.replace(SMALL, masks="empty", exposure="on"), passing[0], choose_core(), CPU)
    assert model.exposures is not None
    model.exposures.begin()
    with torch.no_grad():
        model.exposures.offsets += 0.1
    batch = model.batches.draw(64, torch.Generator().manual_seed(0))
    count, background = len(batch.colors), torch.tensor([0.2, 0.9, 0.4])
    drawn = model.sampler.draw(model.field, model.space.local_rays(batch.rays))[-1]
    nothing = dataclasses.replace(drawn, rgb=torch.zeros(count, 3), transmittance=torch.ones(count))
    torch.testing.assert_close(model._seen(nothing, batch, background), background.expand(count, 3))
    solid = dataclasses.replace(drawn, rgb=torch.full((count, 3), 0.5), transmittance=torch.zeros(count))
    torch.testing.assert_close(model._seen(solid, batch, background), torch.full((count, 3), 0.5 + 0.15 + 0.1))


def test_state_comes_back_without_the_photos(
    different: tuple[Scene, list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained(different[0], 10, exposure="on")
    state = model.state_dict()
    monkeypatch.setattr("nerfkit.data.exposure.gains", lambda scene: pytest.fail("the photos are gone"))
    other = Model.create(model.config, different[0], choose_core(), CPU)  # type: ignore[arg-type]
    other.load_state_dict(state)
    rates = [[group["lr"] for group in one.optimizer.param_groups] for one in (model, other)]
    assert rates[0] == rates[1] and rates[0][-1] == pytest.approx(0.1 * rates[0][0])
    one, two = (torch.stack(list(m.losses(0.5, torch.Generator().manual_seed(0)).values())) for m in (model, other))
    assert torch.equal(one, two)


def test_a_checkpoint_from_before_the_first_step_still_begins_by_the_points(
    different: tuple[Scene, list[Tensor]],
) -> None:
    model = Model.create(dataclasses.replace(SMALL, exposure="on"), different[0], choose_core(), CPU)
    other = Model.create(model.config, different[0], choose_core(), CPU)
    other.load_state_dict(model.state_dict())
    for one in (model, other):
        one.losses(0.0, torch.Generator().manual_seed(0))
    assert model.exposures is not None and other.exposures is not None
    assert bool(other.exposures.offsets.any()) and torch.equal(model.exposures.offsets, other.exposures.offsets)
