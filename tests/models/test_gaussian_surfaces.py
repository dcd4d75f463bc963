"""Gaussians that are trained to lie on surfaces: what their losses measure, and that they do it."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from nerfkit.cameras import look_at, pixel_centers
from nerfkit.contracts import Cameras, Gaussians
from nerfkit.core import choose_core
from nerfkit.core.types import Rasterized
from nerfkit.models.gaussians import geometry
from nerfkit.models.gaussians.config import Config
from nerfkit.models.gaussians.model import Model
from nerfkit.models.gaussians.parameters import activate, initial

FACING = torch.tensor([[1.0, 0.0, 0.0, 0.0]])


def camera(width: int = 40, height: int = 32, eye: tuple[float, float, float] = (0.4, -1.0, 0.9)) -> Cameras:
    pose = look_at(torch.tensor(eye), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    return Cameras(pose[None], torch.tensor([[1.2 * width, 1.1 * width, 0.55 * width, 0.45 * height]]), width, height)


def plane_depth(view: Cameras, normal: Tensor) -> Tensor:
    """Depth [H, W] of the plane through the origin."""
    fx, fy, cx, cy = view.intrinsics[0]
    x, y = pixel_centers(view.width, view.height).unbind(-1)
    rays = torch.stack([(x - cx) / fx, (y - cy) / fy, torch.ones_like(x)], -1)
    pose = view.world_from_cam[0]
    return -(pose[:3, 3] @ normal) / (rays @ (pose[:3, :3].T @ normal))


def table(tilt: float, noise: float = 0.0) -> Gaussians:
    """Discs all over the plane z = 0, opaque, turned out of it by ``tilt`` radians, each about another axis."""
    rng = torch.Generator().manual_seed(0)
    xy = torch.cartesian_prod(*[torch.linspace(-0.8, 0.8, 28)] * 2)
    means = torch.cat([xy, noise * torch.randn(len(xy), 1, generator=rng)], 1)
    angle = 2 * math.pi * torch.rand(len(xy), generator=rng)
    half = torch.full_like(angle, tilt / 2)
    quats = torch.stack([half.cos(), half.sin() * angle.cos(), half.sin() * angle.sin(), torch.zeros_like(half)], 1)
    scales = torch.tensor([0.05, 0.05, 0.005]).expand(len(xy), 3).clone()
    return Gaussians(means, quats, scales, torch.full((len(xy),), 0.9), torch.zeros(len(xy), 1, 3))


def draw(g: Gaussians, view: Cameras) -> Rasterized:
    return choose_core().rasterize(g, view, torch.zeros(3), layers="rgb+depth+normal", median_depth=True)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.6, 0.0, 0.8), (0.0, -0.6, 0.8)])
def test_normals_of_a_planes_depth_map(normal: tuple[float, float, float]) -> None:
    view = camera()
    depth = plane_depth(view, torch.tensor(normal))
    found = geometry.depth_normals(depth, view)
    assert found.shape == (3, 30, 38)
    expected = view.world_from_cam[0, :3, :3].T @ torch.tensor(normal)
    assert expected[2] < 0, "it must face the camera"
    # Not exactly: depth is no linear function of the pixel, only its inverse is.
    assert (torch.einsum("chw,c->hw", found, expected) > math.cos(0.01)).all()


def test_normal_loss_tells_how_splats_are_turned() -> None:
    view = camera()
    losses = [float(geometry.normal_loss(draw(table(tilt), view), view)) for tilt in (0.0, 0.2, 0.5)]
    assert draw(table(0.0), view).alpha[8:].mean() > 0.9
    assert 0 <= losses[0] < 0.02
    assert losses[0] < losses[1] < losses[2]
    assert losses[2] > 0.05


def test_normal_loss_turns_splats_into_their_surface() -> None:
    view, other = camera(), camera(eye=(-0.9, -0.5, 0.8))
    g = table(0.5)
    quats = g.quats.clone().requires_grad_()
    optimizer = torch.optim.Adam([quats], lr=0.04)

    def upright() -> float:
        seen = draw(g, view)
        normals = torch.nn.functional.normalize(seen.image[4:], dim=0)[2]
        return float((normals * seen.alpha).sum() / seen.alpha.sum())

    before = upright()
    for _ in range(30):
        for seen_from in (view, other):
            drawn = draw(Gaussians(g.means, quats, g.scales, g.opacities, g.sh), seen_from)
            geometry.normal_loss(drawn, seen_from).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
    g = Gaussians(g.means, quats.detach(), g.scales, g.opacities, g.sh)
    assert before < 0.985
    assert upright() > 0.995


def test_median_loss_is_zero_for_one_layer_and_pulls_the_rest_to_it() -> None:
    view = camera()
    far = 1.5 * view.world_from_cam[0, :3, 2]
    front = Gaussians(torch.zeros(1, 3), FACING, torch.full((1, 3), 0.4), torch.tensor([0.7]), torch.zeros(1, 1, 3))
    assert geometry.median_loss(draw(front, view)) < 2e-3
    opacities = torch.tensor([0.7, 0.9]).requires_grad_()
    both = Gaussians(torch.stack([torch.zeros(3), far]), FACING.repeat(2, 1), torch.full((2, 3), 3.0), opacities,
                     torch.zeros(2, 1, 3))  # fmt: skip
    loss = geometry.median_loss(draw(both, view))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss > 0.02
    assert opacities.grad is not None and opacities.grad[0] < 0 < opacities.grad[1]


def test_flatness_is_the_mean_of_the_shortest_axes() -> None:
    log_scales = torch.tensor([[0.1, 0.2, 0.3], [0.5, 0.02, 0.4]]).log().requires_grad_()
    loss = geometry.flatness_loss(log_scales)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(0.06)
    assert log_scales.grad is not None
    assert (log_scales.grad > 0).tolist() == [[True, False, False], [False, True, False]]


class Photo:
    name, has_alpha, has_mask = "photo", False, False

    def __init__(self) -> None:
        self.camera = camera(64, 64)

    def image(self) -> Tensor:
        return torch.full((64, 64, 3), 128, dtype=torch.uint8)

    def mask(self) -> Tensor | None:
        return None


def model(config: Config) -> Model:
    rng = torch.Generator().manual_seed(0)
    points = torch.cat([torch.rand(50, 2, generator=rng) - 0.5, torch.zeros(50, 1)], 1)
    scene = SimpleNamespace(train=[0], views=[Photo()], has_alpha=False)
    params = initial(points, torch.full((50, 3), 128, dtype=torch.uint8), 0.5, rng)
    return Model(config, scene, choose_core(), params)  # type: ignore[arg-type]


def test_surfaces_are_asked_for_from_their_progress_on_in_a_share_of_the_steps() -> None:
    rng = torch.Generator().manual_seed(0)
    off = model(Config(cap=50))
    assert set(off.losses(0.9, rng)) == {"photo"}
    on = model(Config(cap=50, geometry=True))
    assert set(on.losses(on.config.geometry_from - 0.01, rng)) == {"photo"}
    shaped = ["normal" in on.losses(0.5, rng) for _ in range(60)]
    assert 15 < sum(shaped) < 45
    always = model(Config(cap=50, geometry=True, geometry_share=1.0))
    assert set(always.losses(always.config.patch_from - 0.01, rng)) == {"photo", "normal", "median", "flatness"}
    losses = always.losses(0.5, rng)
    assert set(losses) == {"photo", "normal", "median", "flatness", "patches"}
    assert losses["patches"] == 0, "one photo has no neighbour"
    sum(losses.values()).backward()  # type: ignore[union-attr]
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in always.params.values())
    assert len(activate(always.params)) == 50
