"""The Gaussians model: how it grows, prunes and begins on coarse photos."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core import choose_core
from nerfkit.core.optim import FusedAdam
from nerfkit.core.types import SplatStats
from nerfkit.errors import NerfkitError
from nerfkit.models.gaussians import density
from nerfkit.models.gaussians.config import Config, default_cap, default_coarse_until
from nerfkit.models.gaussians.model import Model
from nerfkit.models.gaussians.parameters import NAMES, Parameters, activate, initial, raise_sh_degree
from nerfkit.models.gaussians.targets import halved, planes_over

CONFIG = Config(cap=100)


class Photo:
    """A photo of noise, with its right half cut out."""

    name, has_mask = "photo", True

    def __init__(self, width: int, height: int):
        pose = torch.eye(4)[None]
        self.camera = Cameras(pose, torch.tensor([[50.0, 50.0, width / 2, height / 2]]), width, height)
        rng = torch.Generator().manual_seed(0)
        self.pixels = torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=rng)

    def image(self) -> Tensor:
        return self.pixels

    def mask(self) -> Tensor | None:
        mask = torch.full(self.pixels.shape[:2], 255, dtype=torch.uint8)
        mask[:, self.camera.width // 2 :] = 0
        return mask


def some_gaussians(count: int = 40, opacity: float = 0.3) -> tuple[Parameters, FusedAdam]:
    """Parameters with moments that tell their row."""
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(count, 3, generator=rng) * 0.3
    colors = torch.randint(0, 256, (count, 3), dtype=torch.uint8, generator=rng)
    params = initial(points, colors, opacity, rng)
    params = {name: params[name].requires_grad_() for name in NAMES}
    optimizer = FusedAdam([{"params": [params[name]], "lr": 0.0, "name": name} for name in NAMES], choose_core())
    for tensor in params.values():
        tensor.grad = torch.arange(count, dtype=torch.float32).view(-1, *[1] * (tensor.ndim - 1)).expand_as(tensor) + 1
        tensor.grad = tensor.grad.contiguous()
    optimizer.step()
    return params, optimizer


def picture(gaussians: Gaussians) -> Tensor:
    pose = torch.eye(4)
    pose[2, 3] = -3.0
    camera = Cameras(pose[None], torch.tensor([[60.0, 60.0, 24.0, 24.0]]), 48, 48)
    return choose_core().rasterize(gaussians, camera, torch.zeros(3)).image.detach()


def stats_of(score: Tensor) -> SplatStats:
    return SplatStats(**{name: score.clone() if name == "grad_sum" else torch.ones_like(value)
                         for name, value in vars(SplatStats.zeros(len(score))).items()})  # fmt: skip


def test_events_are_due_between_their_bounds() -> None:
    due = [density.due_events(CONFIG, progress / 1000) for progress in range(1001)]
    assert due[int(1000 * CONFIG.densify_from) - 1] == 0
    assert due[int(1000 * CONFIG.densify_from) + 1] >= 1
    assert due == sorted(due)
    assert due[-1] == CONFIG.densify_events
    assert due[int(1000 * CONFIG.densify_until) - 20] < CONFIG.densify_events
    counts = [density.target_count(CONFIG, 10, 100, event) for event in range(CONFIG.densify_events + 1)]
    assert (counts[0], counts[-1]) == (10, 100)
    assert counts == sorted(counts)


def test_growing_prefers_what_the_image_pulls_at() -> None:
    params, optimizer = some_gaussians()
    score = torch.zeros(40)
    score[[3, 17, 31]] = torch.tensor([3.0, 2.0, 1.0])
    before = params["means"].detach().clone()
    rng = torch.Generator().manual_seed(0)
    density.grow_by_gradient(CONFIG, params, optimizer, stats_of(score), 42, rng)
    assert len(params["means"]) == 42  # room for two, though three are pulled at
    assert all(len(params[name]) == 42 for name in NAMES)
    moved = (params["means"].detach()[:40] != before).any(1).nonzero()[:, 0].tolist()
    assert set(moved) <= {3, 17}
    m = optimizer.state[params["means"]]["m"]
    assert torch.equal(m[40:], torch.zeros(2, 3)), "the new ones have no past"
    assert torch.allclose(m[:40, 0] / m[0, 0], torch.arange(1.0, 41.0)), "the old ones keep theirs"


def test_transparent_ones_are_pruned() -> None:
    params, optimizer = some_gaussians()
    with torch.no_grad():
        params["logit_opacities"][5] = -20
    rest = torch.cat([params["means"][:5], params["means"][6:]]).detach().clone()
    density.grow_by_gradient(CONFIG, params, optimizer, stats_of(torch.zeros(40)), 40, torch.Generator())
    assert torch.equal(params["means"].detach(), rest)


def test_a_clone_lets_the_same_light_through() -> None:
    params, optimizer = some_gaussians()
    with torch.no_grad():
        params["log_scales"].fill_(math.log(density._CLONE_BELOW * 0.9))
    before = picture(activate(params))
    density.grow_by_gradient(CONFIG, params, optimizer, stats_of(torch.ones(40)), 80, torch.Generator())
    assert len(params["means"]) == 80
    # Not exactly: two Gaussians of opacity 1 - sqrt(1 - o) let as much through as one at the centre alone.
    assert before.max() > 0.1
    assert (picture(activate(params)) - before).abs().max() < 0.1 * before.max()


def test_relocation_moves_the_dead_and_keeps_the_picture() -> None:
    params, optimizer = some_gaussians(200, 0.8)
    with torch.no_grad():
        params["logit_opacities"][::10] = -20
    before = picture(activate(params))
    density.relocate(Config(cap=200, density="mcmc"), params, optimizer, 200, torch.Generator().manual_seed(0))
    assert len(params["means"]) == 200
    assert (torch.sigmoid(params["logit_opacities"]) > CONFIG.prune_opacity).all()
    assert (picture(activate(params)) - before).abs().mean() < 0.1 * before.mean()


def test_relocation_leaves_a_full_model_without_dead_as_it_is() -> None:
    params, optimizer = some_gaussians(50, 0.8)
    before = {name: tensor.detach().clone() for name, tensor in params.items()}
    density.relocate(Config(cap=50, density="mcmc"), params, optimizer, 50, torch.Generator().manual_seed(0))
    assert all(torch.equal(params[name], before[name]) for name in before)


def test_shared_opacity_and_scale_keep_the_integral_along_a_ray() -> None:
    """What eq. 9 of the MCMC paper is made for: the light along a line across the Gaussian's middle stays the same."""
    line = torch.linspace(-6, 6, 4001, dtype=torch.float64)
    for opacity in (0.1, 0.5, 0.9):
        for copies in (1, 2, 3, 7):
            shared, factor = density.shared_opacity_and_scale(torch.tensor([opacity]), torch.tensor([copies]))
            one = opacity * torch.exp(-0.5 * line**2)
            many = 1 - (1 - shared.double() * torch.exp(-0.5 * (line / factor.double()) ** 2)) ** copies
            assert many.sum().item() == pytest.approx(one.sum().item(), rel=2e-3)


def test_floaters_are_those_near_a_camera() -> None:
    params, _ = some_gaussians()
    with torch.no_grad():
        params["means"].add_(10)
        params["means"][7] = torch.tensor([0.0, 0.0, 0.005])
    assert density.near_cameras(params, torch.zeros(1, 3), 0.02).nonzero()[:, 0].tolist() == [7]


def test_higher_sh_begin_at_zero() -> None:
    params, optimizer = some_gaussians()
    first = params["sh"].detach().clone()
    raise_sh_degree(params, optimizer, 2)
    assert params["sh"].shape == (40, 9, 3)
    assert torch.equal(params["sh"].detach()[:, :1], first)
    assert not params["sh"].detach()[:, 1:].any()
    assert optimizer.state[params["sh"]]["m"].shape == (40, 9, 3)


@pytest.mark.parametrize(("size", "level", "expected"), [
    ((640, 480), 0, (640, 480)), ((640, 480), 1, (320, 240)), ((641, 479), 2, (161, 120)),
    ((100, 90), 3, (100, 90)), ((200, 130), 3, (100, 65)),
])  # fmt: skip
def test_coarse_photos_are_averages(size: tuple[int, int], level: int, expected: tuple[int, int]) -> None:
    photo = Photo(*size)
    camera = halved(photo.camera, level)
    planes = planes_over(photo.image(), photo.mask(), photo.camera, torch.ones(3), level)
    assert (camera.width, camera.height) == expected
    assert planes.shape == (3, expected[1], expected[0])
    # The same rays: the principal point and the focal length stay where they are in the picture.
    assert torch.allclose(camera.intrinsics[0, 0] / camera.width, photo.camera.intrinsics[0, 0] / size[0])
    assert planes.mean().item() == pytest.approx(0.75, abs=0.02)  # noise of mean a half, and white
    assert planes[:, :, -camera.width // 2 + 1 :].min() > 0.99


@pytest.mark.parametrize(("kept", "until"), [(30.0, 0.4), (35.0, 0.4), (40.0, 0.65), (45.0, 0.9), (math.inf, 0.9)])
def test_soft_photos_are_coarse_for_longer_on_a_cpu(
    kept: float, until: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nerfkit.data.detail.kept_at_half", lambda scene: kept)
    scene: Any = SimpleNamespace()
    with caplog.at_level("INFO"):
        assert default_coarse_until(scene, "cpu") == pytest.approx(until)
    assert ("--gaussians.coarse-until 0.4" in caplog.text) == (until > 0.4)
    assert default_coarse_until(scene, "cuda:1") == 0.4


@pytest.mark.parametrize(("until", "levels"), [(None, [2, 2, 1, 1, 0, 0]), (0.9, [2, 2, 2, 2, 2, 1]), (0.0, [0] * 6)])
def test_photos_grow_step_by_step(until: float | None, levels: list[int]) -> None:
    model = SimpleNamespace(config=Config(coarse_until=until))
    assert [Model._level(model, progress) for progress in (0, 0.19, 0.2, 0.39, 0.4, 0.5)] == levels  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("side", "on_cpu", "on_gpu"),
    [(64, 60_000, 200_000), (500, 83_333, 200_000), (1000, 100_000, 500_000), (4000, 100_000, 2_000_000)],
)
def test_default_cap_follows_the_photos_and_the_device(side: int, on_cpu: int, on_gpu: int) -> None:
    scene = SimpleNamespace(views=[Photo(64, 64), SimpleNamespace(camera=SimpleNamespace(width=side, height=side))])
    assert default_cap(scene, "cpu") == on_cpu  # type: ignore[arg-type]
    assert default_cap(scene, "cuda:1") == on_gpu  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "words"),
    [({"cap": 0}, "cap 0: must be 1 or more"), ({"sh_degree": 4}, "sh-degree 4: must be 0 to 3")],
)
def test_options_without_sense_are_told(options: dict[str, int], words: str) -> None:
    with pytest.raises(NerfkitError, match=rf"--gaussians\.{words}"):
        Model.create(Config(**options), SimpleNamespace(train=[]), choose_core(), torch.device("cpu"))  # type: ignore[arg-type]
