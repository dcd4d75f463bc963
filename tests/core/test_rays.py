"""Rays through pixels against their PyTorch reference: values and gradients of every camera model."""

from __future__ import annotations

import pytest
import torch
from tolerances import VALUE
from torch import Tensor

from core.checks import gradients_are_equal
from nerfkit import cameras as reference
from nerfkit.contracts import CameraModel, Cameras, Rays
from nerfkit.core._library import library
from nerfkit.core.native import NativeCore

DISTORTION: dict[CameraModel, list[list[float]] | None] = {
    "pinhole": None,
    "opencv": [[-0.2, 0.06, 0.002, -0.003], [0.1, -0.02, -0.004, 0.001], [0.0, 0.0, 0.0, 0.0]],
    "fisheye": [[0.04, -0.02, 0.005, -0.001], [-0.05, 0.01, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]],
    "equirect": None,
}
WIDTH, HEIGHT = 96, 80
MODELS = list(DISTORTION)


def cameras(model: CameraModel, dtype: torch.dtype = torch.float64) -> Cameras:
    """Three cameras of a wide view, whose numbers are the same in single precision."""
    rng = torch.Generator().manual_seed(0)
    eyes = torch.randn(3, 3, generator=rng, dtype=torch.float64) * 2
    up = torch.tensor([0.0, 0, 1], dtype=torch.float64)
    intrinsics = torch.tensor([[70, 72, 50.5, 38], [61, 60, 47, 41.3], [80, 83, 48, 40]], dtype=torch.float64)
    values = DISTORTION[model]
    distortion = None if values is None else torch.tensor(values, dtype=torch.float64).float().to(dtype)
    poses = reference.look_at(eyes, torch.zeros(3, dtype=torch.float64), up)
    return Cameras(poses.float().to(dtype), intrinsics.float().to(dtype), WIDTH, HEIGHT, model, distortion)


def leaves(c: Cameras) -> list[Tensor]:
    """What gradients are compared of: a panorama has only a pose."""
    given = (c.world_from_cam, None if c.model == "equirect" else c.intrinsics, c.distortion)
    return [tensor.requires_grad_() for tensor in given if tensor is not None]


def some_pixels(count: int) -> tuple[Tensor, Tensor]:
    """Pixels all over the photo, and the cameras [R] that they are of."""
    rng = torch.Generator().manual_seed(count)
    pixels = torch.rand(count, 2, generator=rng) * torch.tensor([WIDTH, HEIGHT])
    return torch.randint(3, (count,), generator=rng), pixels


def columns(rays: Rays) -> Tensor:
    return torch.cat([rays.origins, rays.directions], 1)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 15, 16, 17, 333])
@pytest.mark.parametrize("model", MODELS)
def test_values_and_gradients_equal_reference(model: CameraModel, count: int) -> None:
    exact, fast = cameras(model), cameras(model, torch.float32)
    exact_leaves, fast_leaves = leaves(exact), leaves(fast)
    index, pixels = some_pixels(count)
    expected, got = reference.rays(exact, index, pixels.double()), NativeCore().rays(fast, index, pixels)
    assert got.origins.shape == got.directions.shape == (count, 3)
    assert torch.equal(got.camera_index, index)
    assert torch.equal(got.origins.double(), expected.origins)
    assert torch.allclose(got.directions.double(), expected.directions, rtol=0, atol=1e-6)
    assert torch.allclose(got.directions.norm(dim=1), torch.ones(count), rtol=0, atol=1e-6)
    assert got.radii is not None and expected.radii is not None and not got.radii.requires_grad
    assert torch.allclose(got.radii.double(), expected.radii, rtol=VALUE, atol=0)
    gradients_are_equal(columns(expected), columns(got), exact_leaves, fast_leaves)
    assert count == 0 or all(leaf.grad is not None and leaf.grad.norm() > 0 for leaf in exact_leaves)


@pytest.mark.cpu_only
@pytest.mark.parametrize("model", MODELS)
def test_reference_gradients_equal_finite_differences(model: CameraModel) -> None:
    """The gradient of the last Newton step is that of the inverse function."""
    c = cameras(model)
    index, pixels = some_pixels(6)
    given = leaves(c)

    def work(pose: Tensor, *lens: Tensor) -> Tensor:
        intrinsics = lens[0] if lens else c.intrinsics
        distortion = lens[1] if len(lens) > 1 else None
        changed = Cameras(pose, intrinsics, WIDTH, HEIGHT, model, distortion)
        return columns(reference.rays(changed, index, pixels.double()))

    assert torch.autograd.gradcheck(work, given, fast_mode=True)


@pytest.mark.parametrize("model", MODELS)
def test_points_on_a_ray_project_to_its_pixel(model: CameraModel) -> None:
    c = cameras(model, torch.float32)
    index, pixels = some_pixels(500)
    rays = NativeCore().rays(c, index, pixels)
    found, _ = reference.project(cameras(model), (rays.origins + 3 * rays.directions).double())
    assert (found[index, torch.arange(500)] - pixels).abs().max() < 2e-4


def test_a_fisheyes_centre_has_no_hole() -> None:
    """The direction is not divided by the distance from the centre, nor is its gradient."""
    near = torch.tensor([[0, 0], [1e-5, 0], [0, -3e-4], [1e-30, 1e-30], [0.25, 0.125]])
    exact, fast = cameras("fisheye"), cameras("fisheye", torch.float32)
    exact_leaves, fast_leaves = leaves(exact), leaves(fast)
    index = torch.full((len(near),), 2)
    pixels = near + fast.intrinsics[2, 2:].detach()
    expected, got = reference.rays(exact, index, pixels.double()), NativeCore().rays(fast, index, pixels)
    assert torch.equal(got.directions[0], fast.world_from_cam[2, :3, 2])
    assert torch.allclose(got.directions.double(), expected.directions, rtol=0, atol=1e-7)
    gradients_are_equal(columns(expected), columns(got), exact_leaves, fast_leaves)


def test_a_fisheye_sees_behind_itself() -> None:
    k = torch.tensor([[10.0, 10, 0, 0]])
    c = Cameras(torch.eye(4)[None], k, 60, 60, "fisheye", torch.zeros(1, 4))
    angles = torch.tensor([0.3, 1.5, 1.6, 2.5])
    pixels = torch.stack([10 * angles, torch.zeros(4)], 1)
    expected = torch.stack([angles.sin(), torch.zeros(4), angles.cos()], 1)
    index = torch.zeros(4, dtype=torch.int64)
    for rays in (reference.rays, NativeCore().rays):
        assert torch.allclose(rays(c, index, pixels).directions, expected, atol=1e-6)


def test_a_fisheyes_cones_are_as_wide_as_its_pixels_are_apart() -> None:
    """Also at the rim and behind the camera, where those of a plane would vanish."""
    c = Cameras(torch.eye(4)[None], torch.tensor([[1000.0, 1000, 0, 0]]), 9000, 9000, "fisheye", torch.zeros(1, 4))
    at = torch.tensor([300.0, 1500, 1571, 2500])
    index = torch.zeros(4, dtype=torch.int64)
    for rays in (reference.rays, NativeCore().rays):
        here, next_one = (rays(c, index, torch.stack([x, torch.zeros(4)], 1)) for x in (at, at + 1))
        apart = (here.directions - next_one.directions).norm(dim=1)
        assert here.radii is not None and torch.allclose(here.radii, apart * 2 / 12**0.5, rtol=1e-3)


@pytest.mark.parametrize(
    ("model", "values", "rim"),
    [
        ("opencv", [-0.35, 0, 0.01, -0.02], True),
        ("opencv", [-0.9, 0.4, 0, 0], False),
        ("fisheye", [-0.3, 0, 0, 0], True),
    ],
)
def test_pixels_beyond_the_rim_look_at_it(model: CameraModel, values: list[float], rim: bool) -> None:
    """Where a barrel's polynomial turns back nothing is seen farther out, and nothing is learned of the distortion."""
    k, distortion = torch.tensor([[40.0, 40, 40, 40]]), torch.tensor([values])
    c = Cameras(torch.eye(4)[None], k, 80, 80, model, distortion)
    exact = Cameras(torch.eye(4).double()[None], k.double(), 80, 80, model, distortion.double())
    beyond = torch.tensor([[0, 0], [80, 0.0], [0, 80], [80, 80], [200, 40], [40, -500]])
    inside = torch.tensor([[40.0, 40], [50, 35], [30, 52]])
    across = 40 + torch.linspace(0, 45, 400)[:, None] * torch.tensor([[0.9, 0.436]])  # from the centre over the rim
    pixels = torch.cat([beyond, inside, across])
    index = torch.zeros(len(pixels), dtype=torch.int64)
    got, expected = NativeCore().rays(c, index, pixels), reference.rays(exact, index, pixels.double())
    for directions in (got.directions.double(), expected.directions):
        assert torch.allclose(directions.norm(dim=1), torch.ones(len(pixels), dtype=torch.float64), atol=1e-6)
        assert (directions[:6, :2] * (beyond - 40)).sum(1).min() > 0
    assert torch.allclose(got.directions[6:9].double(), expected.directions[6:9], rtol=0, atol=1e-6)
    assert (got.directions[6:].double() - expected.directions[6:]).abs().max() < (3e-2 if rim else 1e-6)

    given = leaves(c)
    for chosen, learned in ((beyond, not rim), (inside, True), (across, True)):
        grads = torch.autograd.grad(columns(NativeCore().rays(c, index[: len(chosen)], chosen)).sum(), given)
        assert all(grad.isfinite().all() for grad in grads)
        assert bool(grads[2].any()) == learned


def test_a_cone_is_as_wide_as_its_pixel() -> None:
    """Half the pixel's side on the plane through the point at distance 1, times 2 / sqrt(3) (Barron et al. 2021)."""
    c = cameras("pinhole", torch.float32)
    index, pixels = some_pixels(50)
    rays = NativeCore().rays(c, index, pixels)
    beside = NativeCore().rays(c, index, pixels + torch.tensor([1.0, 0]))
    forward = c.world_from_cam[index, :3, 2]
    depth, depth_beside = (rays.directions * forward).sum(1), (beside.directions * forward).sum(1)
    side = (beside.directions * (depth / depth_beside)[:, None] - rays.directions).norm(dim=1)
    assert rays.radii is not None
    assert torch.allclose(rays.radii, side / 3**0.5, rtol=1e-3)


def test_gradients_come_in_the_cameras_precision() -> None:
    c = cameras("opencv")
    given = leaves(c)
    index, pixels = some_pixels(20)
    rays = NativeCore().rays(c, index, pixels)
    assert rays.directions.dtype == torch.float32
    columns(rays).sum().backward()
    assert all(leaf.grad is not None and leaf.grad.dtype == torch.float64 for leaf in given)


@pytest.mark.cpu_only
def test_same_bytes_on_every_run() -> None:
    index, pixels = some_pixels(3000)

    def work() -> list[Tensor]:
        c = cameras("fisheye", torch.float32)
        given = leaves(c)
        rays = NativeCore().rays(c, index, pixels)
        columns(rays).square().mul(torch.arange(6)).sum().backward()
        return [rays.directions.detach(), *(leaf.grad for leaf in given if leaf.grad is not None)]

    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            for one, other in zip(work(), work(), strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(before)


def test_missing_distortion_means_a_pinhole() -> None:
    plain = cameras("pinhole", torch.float32)
    index, pixels = some_pixels(20)
    expected = NativeCore().rays(plain, index, pixels).directions
    for model in ("opencv", "fisheye"):
        c = Cameras(plain.world_from_cam, plain.intrinsics, WIDTH, HEIGHT, model)
        assert torch.equal(NativeCore().rays(c, index, pixels).directions, expected)
        assert torch.allclose(reference.rays(c, index, pixels).directions, expected, atol=1e-6)


def test_wrong_arguments_are_named() -> None:
    core, c = NativeCore(), cameras("opencv", torch.float32)
    index, pixels = some_pixels(5)
    for wrong in (-1, 3):
        with pytest.raises(RuntimeError, match=rf"camera_index must be 0 to 2, got {wrong} for ray 4"):
            core.rays(c, torch.tensor([0, 1, 2, 0, wrong]), pixels)
    with pytest.raises(ValueError, match=r"pixels must be \[R, 2\] with R=5 \(from camera_index\), got \[4, 2\]"):
        core.rays(c, index, pixels[:4])
    with pytest.raises(TypeError, match=r"camera_index must be torch\.int64"):
        core.rays(c, index.int(), pixels)
    with pytest.raises(TypeError, match=r"pixels must be torch\.float32"):
        core.rays(c, index, pixels.double())
    bad = Cameras(c.world_from_cam, c.intrinsics, WIDTH, HEIGHT, "opencv", torch.zeros(3, 5))
    with pytest.raises(ValueError, match=r"distortion must be \[C, 4\]"):
        core.rays(bad, index, pixels)
    arrays = {"world_from_cam": c.world_from_cam, "intrinsics": c.intrinsics, "camera_index": index, "pixels": pixels}
    out = {"origins": torch.empty(5, 3), "directions": torch.empty(5, 3), "radii": torch.empty(5)}
    with pytest.raises(RuntimeError, match="no camera model has the number 4"):
        library().call("nk_rays_fwd", threads=1, model=4, width=8, height=8, **arrays, **out)
