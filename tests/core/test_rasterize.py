"""The rasterizer (projection, binning, compositing) against its PyTorch reference: values and gradients."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from scipy.spatial.transform import Rotation
from tolerances import FILLED, FLIP, FLIP_SHARE, GRADIENT, VALUE
from torch import Tensor

from core.cores import cores, fit_for
from core.scenes import FIELDS, camera, gaussians, leaves
from nerfkit.contracts import Cameras, Gaussians, RenderCore
from nerfkit.core import native_rasterize, reference
from nerfkit.core._library import library
from nerfkit.core.native import NativeCore
from nerfkit.core.native_rasterize import list_by_tile
from nerfkit.core.types import CHANNELS, Layers, SplatStats

BACKGROUND = torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)


def draw_reference(g: Gaussians, view: Cameras, layers: Layers, degree: int = 3) -> tuple[Tensor, Tensor]:
    splats = reference.project(g, view, degree)
    return reference.rasterize(splats, view.width, view.height, BACKGROUND, CHANNELS[layers])


def assert_images_close(core: RenderCore, got: Tensor, expected: Tensor, splat_depth: float = 5.0) -> None:
    """Equal within VALUE, but for a few pixels where a splat is on either side of the cut."""
    difference = (got.double() - expected).abs()
    scale = torch.ones(len(expected), 1, 1, dtype=torch.float64)
    scale[3:] = splat_depth
    off = (difference > (FILLED if core.name == "gsplat" else VALUE) * scale).any(0)
    assert off.sum() <= max(1, FLIP_SHARE * off.numel())
    assert (difference <= FLIP * scale * 1.5).all()


@cores("nerfkit", "gsplat", "gsplat stand-in")
@pytest.mark.parametrize("layers", list(CHANNELS))
@pytest.mark.parametrize(
    ("count", "size"),
    [(1, (16, 16)), (7, (1, 1)), (8, (9, 7)), (9, (8, 8)), (17, (41, 53)), (400, (65, 40)), (900, (20, 18))],
)
def test_image_equals_reference(core: RenderCore, count: int, size: tuple[int, int], layers: Layers) -> None:
    g, view = fit_for(core, gaussians(count, seed=count)), camera(*size)
    expected, alpha = draw_reference(g, view, layers)
    drawn = core.rasterize(leaves(g, torch.float32), view, BACKGROUND, layers=layers)
    if count >= 17:
        assert alpha.mean() > 0.1, "an empty image proves nothing"
    assert_images_close(core, drawn.image, expected)
    assert_images_close(core, drawn.alpha[None], alpha[None])


@pytest.mark.parametrize("seed", range(8))
def test_needles_equal_reference(seed: int) -> None:
    """Splats as thin as can be, and opaque: within a tile their alpha spans more than a float's exponents.

    The conic of a needle loses digits in single precision, so that the tolerances are wider than elsewhere.
    """
    g, view = gaussians(40, seed), camera(64, 48)
    g.scales[:, 1:] *= 1e-3
    g.scales[:, 0] *= 5
    g.opacities.sqrt_()
    exact, fast = leaves(g, torch.float64), leaves(g, torch.float32)
    expected, _ = draw_reference(exact, view, "rgb")
    drawn = NativeCore().rasterize(fast, view, BACKGROUND)
    assert (drawn.image - expected).abs().max() <= FLIP
    v = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    (expected * v).sum().backward()
    (drawn.image * v.float()).sum().backward()
    for name in FIELDS:
        want, got = getattr(exact, name).grad, getattr(fast, name).grad.double()
        assert (got - want).norm() <= 50 * GRADIENT * want.norm(), name


@cores("nerfkit", "gsplat", "gsplat stand-in")
@pytest.mark.parametrize("layers", list(CHANNELS))
@pytest.mark.parametrize(("count", "size"), [(7, (33, 20)), (16, (8, 8)), (300, (53, 41)), (900, (20, 18))])
def test_gradients_equal_reference(core: RenderCore, count: int, size: tuple[int, int], layers: Layers) -> None:
    g, view = fit_for(core, gaussians(count, seed=count + 1)), camera(*size)
    rng = torch.Generator().manual_seed(count)
    exact, fast = leaves(g, torch.float64), leaves(g, torch.float32)
    image, alpha = draw_reference(exact, view, layers)
    v_image = torch.randn(image.shape, generator=rng, dtype=torch.float64)
    v_alpha = torch.randn(alpha.shape, generator=rng, dtype=torch.float64)
    assert alpha.mean() > (0.03 if core.name == "gsplat" else 0.05), "an empty image proves nothing"
    ((image * v_image).sum() + (alpha * v_alpha).sum()).backward()
    drawn = core.rasterize(fast, view, BACKGROUND, layers=layers)
    ((drawn.image * v_image.float()).sum() + (drawn.alpha * v_alpha.float()).sum()).backward()
    for name in FIELDS:
        expected, got = getattr(exact, name).grad, getattr(fast, name).grad.double()
        assert expected.norm() > 0, name
        filled = 5 if core.name == "gsplat" and count == 900 else 1  # it leaves a full pixel a splat earlier
        assert (got - expected).norm() <= filled * GRADIENT * expected.norm(), name


@cores("nerfkit", "gsplat", "gsplat stand-in")
@pytest.mark.parametrize("size", [(33, 20), (8, 8)])
def test_antialiased_ones_fade_as_they_get_smaller_than_a_pixel(core: RenderCore, size: tuple[int, int]) -> None:
    g, view = fit_for(core, gaussians(300, seed=3)), camera(*size)
    g = dataclasses.replace(g, scales=g.scales * 0.3, opacities=g.opacities.sqrt() * 0.7, antialiased=True)
    exact, fast = leaves(g, torch.float64), leaves(g, torch.float32)
    image, alpha = draw_reference(exact, view, "rgb")
    plain = draw_reference(dataclasses.replace(g, antialiased=False), view, "rgb")[1]
    assert 0.1 < alpha.mean() < 0.8 * plain.mean()
    v = torch.randn(image.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    (image * v).sum().backward()
    drawn = core.rasterize(fast, view, BACKGROUND)
    assert_images_close(core, drawn.image, image)
    (drawn.image * v.float()).sum().backward()
    for name in FIELDS:
        expected, got = getattr(exact, name).grad, getattr(fast, name).grad.double()
        assert (got - expected).norm() <= GRADIENT * expected.norm(), name


def test_antialiased_ones_keep_their_light_at_any_distance() -> None:
    """Drawn by pixels that are larger than it, a splat covers as much of them as it covers of finer ones."""
    zeros, one = torch.zeros(1, 3), torch.tensor([[1.0, 0, 0, 0]])
    g = Gaussians(zeros, one, torch.tensor([[0.02, 0.01, 0.03]]), torch.tensor([0.5]), zeros[None], antialiased=True)
    light = [float(NativeCore().rasterize(g, camera(n, n), BACKGROUND).alpha.mean()) for n in (512, 64, 32)]
    blurred = dataclasses.replace(g, antialiased=False)
    fat = [float(NativeCore().rasterize(blurred, camera(n, n), BACKGROUND).alpha.mean()) for n in (512, 32)]
    assert light == pytest.approx([light[0]] * 3, rel=0.12) and fat[1] > 2 * fat[0]


@pytest.mark.parametrize("thickness", [0.0, 1e-6, 1e-3])
def test_antialiased_ones_seen_edge_on(thickness: float) -> None:
    """Flat Gaussians have no area there: their coverage has a least value, and no gradient without bounds."""
    eye = camera(24, 24).world_from_cam[0, :3, 3]
    turned = Rotation.align_vectors([eye.numpy()], [[1.0, 0, 0]])[0].as_quat(scalar_first=True)
    scales = torch.tensor([[0.2, 0.2, thickness]], dtype=torch.float64)
    zeros = torch.zeros(1, 1, 3, dtype=torch.float64)
    g = Gaussians(zeros[0], torch.tensor(turned)[None], scales, torch.tensor([0.9], dtype=torch.float64), zeros, True)
    exact, fast = leaves(g, torch.float64), leaves(g, torch.float32)
    image, _ = draw_reference(exact, camera(24, 24), "rgb", 0)
    drawn = NativeCore().rasterize(fast, camera(24, 24), BACKGROUND)
    assert_images_close(NativeCore(), drawn.image, image)
    image.sum().backward()
    drawn.image.sum().backward()
    for name in ("means", "scales", "opacities"):
        expected, got = getattr(exact, name).grad, getattr(fast, name).grad.double()
        assert torch.isfinite(got).all()
        assert (got - expected).norm() <= 20 * GRADIENT * expected.norm() + 1e-6, name


@cores("nerfkit", "gsplat", "gsplat stand-in")
@pytest.mark.parametrize(("degree", "stored"), [(0, 3), (1, 3), (2, 3), (3, 3), (0, 0), (1, 1), (2, 2), (0, 2)])
def test_sh_degree(core: RenderCore, degree: int, stored: int) -> None:
    g, view = fit_for(core, gaussians(60, degree=stored)), camera(24, 24)
    exact, fast = leaves(g, torch.float64), leaves(g, torch.float32)
    expected, _ = draw_reference(exact, view, "rgb", degree)
    drawn = core.rasterize(fast, view, BACKGROUND, degree=degree)
    assert_images_close(core, drawn.image, expected)
    v = torch.randn(expected.shape, generator=torch.Generator().manual_seed(degree), dtype=torch.float64)
    (expected * v).sum().backward()
    (drawn.image * v.float()).sum().backward()
    want, got = exact.sh.grad, fast.sh.grad
    assert want is not None and got is not None
    assert (got.double() - want).norm() <= GRADIENT * want.norm()
    assert not got[:, (degree + 1) ** 2 :].any()


@pytest.mark.cpu_only
def test_reference_gradients_equal_finite_differences() -> None:
    """The reference itself, in float64, away from its cuts: few splats, all opaque enough and large."""
    g = gaussians(3, seed=5)
    g = Gaussians(g.means * 0.3, g.quats, g.scales + 1, g.opacities.clamp(0.3, 0.7), g.sh[:, :4])
    view = camera(4, 3)

    def draw(*tensors: Tensor) -> Tensor:
        splats = reference.project(Gaussians(*tensors), view, 1)
        image, alpha = reference.rasterize(splats, 4, 3, BACKGROUND, 7)
        return torch.cat([image, alpha[None]])

    inputs = [getattr(leaves(g, torch.float64), name) for name in FIELDS]
    assert draw(*inputs)[-1].mean() > 0.3
    assert torch.autograd.gradcheck(draw, inputs, eps=1e-6, atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_a_tile_lists_all_that_is_drawn_in_it(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every pixel that a splat changes lies in a tile that lists it, once, and lists go from near to far."""
    width, height = 75, 52
    g, view = gaussians(60, seed), camera(width, height)
    g.scales[:20] *= 4
    g.scales[20:40, :2] *= 0.05
    found = {}
    monkeypatch.setattr(native_rasterize, "list_by_tile", lambda *args: found.setdefault("lists", list_by_tile(*args)))
    drawn = NativeCore().rasterize(leaves(g, torch.float32), view, BACKGROUND)
    arrays = {name: array.cpu() for name, array in found["lists"].arrays.items()}
    splats, tile, offsets = arrays["splats"], library().tile, arrays["tile_offsets"].tolist()
    across = -(-width // tile)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    numbers = (y // tile * across + x // tile).long()
    depth = splats[:, 6]
    for number in range(len(offsets) - 1):
        listed = arrays["indices"][offsets[number] : offsets[number + 1]].long()
        assert len(listed.unique()) == len(listed)
        assert (depth[listed].diff() >= 0).all() and (depth[listed] > 0).all()
        mine = numbers == number
        for i in (depth > 0).nonzero()[:, 0].tolist():
            dx, dy = x[mine] - splats[i, 0], y[mine] - splats[i, 1]
            power = splats[i, 2] * dx * dx + 2 * splats[i, 3] * dx * dy + splats[i, 4] * dy * dy
            if (power <= splats[i, 15]).any():
                assert i in listed.tolist()
    assert drawn.instances == offsets[-1] > 0


@cores("nerfkit", "reference", "gsplat", "gsplat stand-in")
def test_no_gaussians_and_none_in_view(core: RenderCore) -> None:
    empty = leaves(gaussians(0), torch.float32)
    drawn = core.rasterize(empty, camera(9, 5), BACKGROUND)
    assert torch.allclose(drawn.image, BACKGROUND.float()[:, None, None].expand(3, 5, 9))
    assert (drawn.alpha == 0).all()
    behind = gaussians(20)
    behind = leaves(
        Gaussians(behind.means + torch.tensor([0, -9.0, 0]), *(getattr(behind, n) for n in FIELDS[1:])), torch.float32
    )
    drawn = core.rasterize(behind, camera(9, 5), BACKGROUND)
    drawn.image.sum().backward()
    assert drawn.visible == 0
    assert all((getattr(behind, name).grad == 0).all() for name in FIELDS)
    assert torch.allclose(drawn.image, BACKGROUND.float()[:, None, None].expand(3, 5, 9))


@cores("nerfkit", "reference", "gsplat", "gsplat stand-in")
def test_median_depth_lies_at_the_first_opaque_surface(core: RenderCore) -> None:
    view = camera(16, 16)
    center = view.world_from_cam[0, :3, 3]
    forward = view.world_from_cam[0, :3, 2]
    means = torch.stack([center + 1.5 * forward, center + 2.5 * forward])
    wide = Gaussians(means, torch.tensor([[1.0, 0, 0, 0]] * 2).double(), torch.full((2, 3), 3.0).double(),
                     torch.tensor([0.2, 0.95]).double(), torch.zeros(2, 1, 3).double())  # fmt: skip
    drawn = core.rasterize(leaves(wide, torch.float32), view, BACKGROUND, layers="rgb+depth", median_depth=True)
    assert drawn.median_depth is not None
    assert torch.allclose(drawn.median_depth, torch.full((16, 16), 2.5), atol=1e-5)


@cores("nerfkit", "gsplat stand-in")
@pytest.mark.parametrize("layers", ["rgb+depth", "rgb+depth+normal"])
@pytest.mark.parametrize(("count", "size"), [(30, (33, 20)), (400, (65, 40))])
def test_median_depth_equals_reference(core: RenderCore, count: int, size: tuple[int, int], layers: Layers) -> None:
    g, view = gaussians(count, seed=count), camera(*size)
    g.scales.mul_(2)
    seen = reference.tiles(reference.project(g, view, 3), *size)
    expected = reference.median_depth(seen)
    drawn = core.rasterize(leaves(g, torch.float32), view, BACKGROUND, layers=layers, median_depth=True)
    assert drawn.median_depth is not None
    assert (expected > 0).double().mean() > 0.1, "an empty image proves nothing"
    off = (drawn.median_depth.double() - expected).abs() > 20 * VALUE
    assert off.double().mean() <= 2 * FLIP_SHARE  # also where half of the light is just gone, or just not


@cores("nerfkit", "reference", "gsplat stand-in")
@pytest.mark.parametrize("tilt", [0.0, 0.6, 1.2])
def test_depth_of_a_disc_is_that_of_its_plane(core: RenderCore, tilt: float) -> None:
    """Not that of its centre: expected and median depth, over all of its pixels."""
    view = camera(240, 200)
    rotation, center = view.world_from_cam[0, :3, :3], torch.tensor([0.05, -0.1, 0.08], dtype=torch.float64)
    axis = rotation @ torch.tensor([0.8, 0.6, 0.0], dtype=torch.float64)  # across the line of sight
    facing = Rotation.from_matrix(rotation.numpy())
    turned = Rotation.from_rotvec(tilt * axis.numpy()) * facing
    quat = torch.from_numpy(turned.as_quat()[[3, 0, 1, 2]])
    disc = Gaussians(center[None], quat[None], torch.tensor([[0.05, 0.05, 1e-5]]).double(),
                     torch.tensor([0.98]).double(), torch.zeros(1, 1, 3).double())  # fmt: skip
    drawn = core.rasterize(leaves(disc, torch.float32), view, BACKGROUND, layers="rgb+depth", median_depth=True)
    assert drawn.median_depth is not None
    alpha, depth = drawn.alpha.detach(), drawn.image[3].detach() / drawn.alpha.detach().clamp_min(1e-6)
    fx, fy, cx, cy = view.intrinsics[0].tolist()
    y, x = torch.meshgrid(torch.arange(200) + 0.5, torch.arange(240) + 0.5, indexing="ij")
    rays = torch.stack([(x - cx) / fx, (y - cy) / fy, torch.ones_like(x)], -1).double()
    normal = rotation.T @ reference.rotation_of(quat[None])[0, :, 2]
    middle = rotation.T @ (center - view.world_from_cam[0, :3, 3])
    plane = (middle @ normal) / (rays @ normal)
    sure = alpha > 0.2
    changes = (plane[sure] - middle[2]).abs().max()
    assert sure.sum() > 100
    assert changes >= 0.05 * math.sin(tilt)
    close = (
        0.1 * changes + 1e-3
    )  # the screen's blur takes some of a slope, and perspective bends what is drawn straight
    assert (depth - plane)[sure].abs().max() < close
    half = drawn.median_depth > 0
    assert half.sum() > 50 and (drawn.median_depth - plane)[half].abs().max() < close


@pytest.mark.cpu_only
def test_same_bytes_on_every_run_and_close_with_other_threads() -> None:
    g, view = gaussians(500), camera(70, 50)

    def gradients(threads: int) -> list[Tensor]:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            fast = leaves(g, torch.float32)
            drawn = NativeCore().rasterize(fast, view, BACKGROUND)
            drawn.image.square().sum().backward()
            return [drawn.image.detach(), *(getattr(fast, name).grad for name in FIELDS)]
        finally:
            torch.set_num_threads(before)

    first, again, single = gradients(2), gradients(2), gradients(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(first[0], single[0])
    assert all((a - b).norm() <= 1e-4 * b.norm() for a, b in zip(first, single, strict=True))


def test_hostile_values_neither_crash_nor_spread() -> None:
    """NaN, infinities, zero quaternions and huge scales: the other splats are drawn all the same."""
    g = leaves(gaussians(64), torch.float32)
    clean = NativeCore().rasterize(g, camera(32, 32), BACKGROUND).image
    hostile = gaussians(7)
    hostile.means[0] = float("nan")
    hostile.means[1] = float("inf")
    hostile.quats[2] = 0
    hostile.scales[3] = 1e30
    hostile.opacities[4] = float("nan")
    hostile.scales[5] = 0
    hostile.sh[6] = float("nan")
    both = Gaussians(*(torch.cat([getattr(g, n), getattr(hostile, n).float()]) for n in FIELDS))
    drawn = NativeCore().rasterize(both, camera(32, 32), BACKGROUND)
    assert torch.isfinite(drawn.alpha).all()
    assert clean.std() > 0.01


@cores("nerfkit", "reference", "gsplat", "gsplat stand-in")
@pytest.mark.parametrize("seed", range(3))
def test_stats_are_absolute_screen_gradients(core: RenderCore, seed: int) -> None:
    g, view = fit_for(core, gaussians(50, seed)), camera(14, 10)  # the reference goes back once for each pixel
    stats = SplatStats.zeros(50)
    drawn = core.rasterize(leaves(g, torch.float32), view, BACKGROUND, stats=stats)
    v = torch.randn(drawn.image.shape, generator=torch.Generator().manual_seed(seed))
    (drawn.image * v).sum().backward()
    splats = reference.project(leaves(g, torch.float64), view, 3)
    pull = reference.absolute_mean_gradients(splats, 14, 10, BACKGROUND, v.double())
    expected = (pull * torch.tensor([7.0, 5.0])).norm(dim=1) * splats.visible
    assert (stats.grad_sum.double() - expected).norm() <= GRADIENT * expected.norm()
    counted = stats.count.bool()
    assert counted[splats.visible].all()
    assert core.name == "gsplat" or torch.equal(counted, splats.visible)  # whose boxes are whole pixels


def test_wrong_arguments_are_named() -> None:
    g, view = leaves(gaussians(5), torch.float32), camera(8, 8)
    core = NativeCore()
    with pytest.raises(
        ValueError, match=r"nk_project_fwd: quats must be \[N, 4\] with N=5 \(from means\), got \[4, 4\]"
    ):
        core.rasterize(Gaussians(g.means, g.quats[:4], g.scales, g.opacities, g.sh), view, BACKGROUND)
    with pytest.raises(TypeError, match=r"means must be torch\.float32, got torch\.float64"):
        core.rasterize(gaussians(5), view, BACKGROUND)
    with pytest.raises(ValueError, match="SH degree 3 needs 16 coefficients, got 4"):
        core.rasterize(leaves(gaussians(5, degree=1), torch.float32), view, BACKGROUND, degree=3)
    with pytest.raises(ValueError, match="expected one pinhole camera"):
        core.rasterize(g, Cameras(view.world_from_cam, view.intrinsics, 8, 8, "equirect"), BACKGROUND)
