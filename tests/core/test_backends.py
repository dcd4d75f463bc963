"""Every backend is a render core: the reference as one, the adapters of peers, and how one is chosen."""

from __future__ import annotations

import copy
import dataclasses
import gc
import logging
import weakref
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from tolerances import FILLED, GRADIENT, HALF, VALUE
from torch import Tensor

from core.cores import cores, make
from core.scenes import FIELDS, camera, gaussians, leaves
from nerfkit.cameras import pixel_centers
from nerfkit.contracts import Cameras, Gaussians, Rays, RenderCore, Samples
from nerfkit.core import backends, choose_core, reference, tcnn
from nerfkit.core.gsplat import GsplatCore
from nerfkit.core.hash_grid import HashGrid
from nerfkit.core.native import NativeCore
from nerfkit.core.occupancy import Occupancy, Steps
from nerfkit.core.reference_core import ReferenceCore
from nerfkit.core.tcnn import TcnnCore
from nerfkit.core.types import SplatStats
from nerfkit.core.volume import BlockMap, Volume
from nerfkit.errors import NerfkitError

Work = Callable[[RenderCore, torch.dtype], list[Tensor]]
OFFSETS = torch.tensor([0, 5, 5, 22], dtype=torch.int32)
GRID = HashGrid(levels=3, features=2, log2_size=9, coarsest=3, finest=20)


def rand(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Numbers in [0, 1) that are the same in both precisions."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _rasterize(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    g = leaves(leaves(gaussians(60), torch.float32), dtype)
    stats = SplatStats(*(torch.zeros(60, dtype=dtype) for _ in range(2)))
    drawn = core.rasterize(
        g, camera(24, 20), rand(3), degree=2, layers="rgb+depth+normal", near=0.3, median_depth=True, stats=stats
    )
    (drawn.image * rand(7, 20, 24, dtype=dtype, seed=1)).sum().backward()
    assert drawn.median_depth is not None and not drawn.median_depth.requires_grad
    count = torch.tensor([drawn.visible], dtype=dtype)
    grads = [getattr(g, name).grad for name in FIELDS]
    return [drawn.image, drawn.alpha, drawn.median_depth, count, stats.grad_sum, stats.count, *grads]


def _photometric_loss(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    image = rand(3, 20, 24, dtype=dtype).requires_grad_()
    target = core.target(rand(3, 20, 24, dtype=dtype, seed=1))
    loss = core.photometric_loss(image, target, 0.3)
    loss.backward()
    assert image.grad is not None
    return [loss, image.grad, target.mean, target.mean_square]


def _photo_step(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    g, stats = leaves(leaves(gaussians(60), torch.float32), dtype), SplatStats(*torch.zeros(2, 60, dtype=dtype))
    target = core.target(rand(3, 20, 24, dtype=dtype))
    step = core.photo_step(g, camera(24, 20), rand(3, seed=2), target, 0.3, near=0.3, stats=stats)
    assert not step.loss.requires_grad and all(getattr(g, name).grad is None for name in FIELDS)
    seen = (step.in_view != 0).to(dtype)
    return [step.loss, seen, stats.grad_sum, stats.count, *step.gradients.values()]


def _adam(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    param = rand(8, 3, dtype=dtype).requires_grad_()
    m, v = torch.zeros(8, 3, dtype=dtype), torch.zeros(8, 3, dtype=dtype)
    for step in (1, 2, 3):
        core.adam(
            param, rand(8, 3, dtype=dtype, seed=step), m, v, step, torch.tensor([0.1, 0.2, 0.3]), (0.9, 0.99), 1e-8
        )
    return [param, m, v]


def _rays(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    view = camera(24, 20)
    rays = core.rays(view, torch.zeros(480, dtype=torch.int64), pixel_centers(24, 20, dtype).view(-1, 2))
    assert rays.radii is not None
    return [rays.origins, rays.directions, rays.radii]


def _march(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    grid = Occupancy.pack(rand(1, 8, 8, 8) < 0.4, 1.0)
    directions = torch.nn.functional.normalize(0.5 - rand(40, 3, dtype=dtype, seed=1), dim=1)
    rays = Rays(-1.5 * directions, directions, torch.zeros(40, dtype=torch.int64))
    ranges = torch.tensor([[0.1, 3.0]], dtype=dtype).expand(40, 2)
    samples = core.march(rays, ranges, torch.full((40,), 0.25, dtype=dtype), grid, Steps(0.05, 0.1, 0.01))
    assert samples.offsets.dtype == samples.ray_index.dtype == torch.int32 and samples.t_start.dtype == dtype
    return [samples.offsets.diff().to(dtype)]  # where each lies is compared by its own tests


def _composite(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    given = [rand(22, dtype=dtype).requires_grad_(), rand(22, 3, dtype=dtype, seed=1).requires_grad_()]
    results = core.composite(*given, OFFSETS)
    sum(result.square().sum() for result in results).backward()
    return [*results, *(leaf.grad for leaf in given if leaf.grad is not None)]


def _resample(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    weights = rand(4, 6, dtype=dtype, seed=1).requires_grad_()
    t = core.resample(rand(4, 7, dtype=dtype).cumsum(1), weights, rand(4, 9, dtype=dtype, seed=2).sort(1).values)
    assert not t.requires_grad
    return [t]


def _ray_samples(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    directions = torch.nn.functional.normalize(rand(4, 3, dtype=dtype) - 0.5, dim=1)
    rays = Rays(rand(4, 3, dtype=dtype, seed=1) - 0.5, directions, torch.zeros(4, dtype=torch.int64))
    samples = core.intervals(rand(4, 7, dtype=dtype, seed=2).cumsum(1) / 4, 0.5, True)
    assert samples.offsets.tolist() == [0, 6, 12, 18, 24] and samples.ray_index.dtype == torch.int32
    points = core.sample_points(rays, samples).requires_grad_()
    cube = core.to_cube(points, 0.5, True, 0.25, 0.5)
    cube.square().sum().backward()
    assert points.grad is not None
    return [core.ray_ranges(rays, 0.7, 0.1), samples.t_start, samples.t_end, points.detach(), cube, points.grad]


def _opacity(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    outputs, t = (rand(22, 5, dtype=dtype) * 4 - 2).requires_grad_(), rand(22, dtype=dtype, seed=1).cumsum(0)
    density = core.exp_density(outputs, 0.5, 12.0, 0.8)
    samples = Samples(t, t + 0.1, OFFSETS, torch.zeros(22, dtype=torch.int32))
    alphas, share = core.opacity(density, samples, 3.0)
    alphas.square().sum().backward()
    assert outputs.grad is not None and share is not None and core.opacity(density, samples)[1] is None
    return [density, alphas, share, outputs.grad]


def _missed(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    edges, finer = (rand(4, n, dtype=dtype, seed=n).sort(1).values for n in (10, 8))
    proposed, weights = rand(4, 9, dtype=dtype, seed=2).div(9).requires_grad_(), rand(4, 7, dtype=dtype) / 7
    loss = core.missed(edges, proposed, finer, weights)
    loss.sum().backward()
    assert proposed.grad is not None
    return [loss, proposed.grad]


def _distortion(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    weights, t = rand(22, dtype=dtype).requires_grad_(), rand(22, dtype=dtype, seed=1).cumsum(0)
    loss = core.distortion(weights, t, t + 0.1, OFFSETS)
    loss.sum().backward()
    assert weights.grad is not None
    return [loss, weights.grad]


def _hash_encode(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    given = [rand(30, 3, dtype=dtype) * 1.2 - 0.1, rand(GRID.entries, 2, dtype=dtype, seed=1)]
    given = [tensor.requires_grad_() for tensor in given]
    features = core.hash_encode(*given, GRID)
    features.square().sum().backward()
    return [features, *(leaf.grad for leaf in given if leaf.grad is not None)]


def _mlp(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    given = [rand(30, 8, dtype=dtype), rand(12 * 32 + 32 * 3, dtype=dtype, seed=1) - 0.5, rand(4, 4, dtype=dtype)]
    given = [tensor.requires_grad_() for tensor in given]
    index = torch.arange(30, dtype=torch.int32) % 4
    out = core.mlp(*given[:2], (12, 32, 3), given[2], index, output="sigmoid")
    out.square().sum().backward()
    return [out, *(leaf.grad for leaf in given if leaf.grad is not None)]


def _encodings(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    x = torch.nn.functional.normalize(rand(30, 3, dtype=dtype) - 0.5, dim=1)
    return [core.sh_encode(x, 3), core.frequency_encode(x, 5, rand(30, 3, dtype=dtype, seed=1) * 0.1)]


def _tsdf(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    marked = BlockMap.empty(torch.tensor([-1.0, -1.0, -1.0]), (24, 24, 24), 0.08, 0.2)
    depth, pixels = rand(1, 20, 24) * 0.1 + 2, (rand(1, 20, 24, 4, seed=1) * 200 + 55).byte()
    core.tsdf_mark(marked, depth, pixels, camera(24, 20))
    volume = Volume.of(marked)
    core.tsdf_integrate(volume, depth, pixels, camera(24, 20))
    vertices, faces, colors = core.marching_cubes(volume, 0.2)
    assert len(vertices) > 50 and faces.dtype == torch.int32 and colors.dtype == torch.uint8
    # vertices one by one are compared by their own tests
    return [tensor.to(dtype) for tensor in (marked.marks, volume.tsdf, volume.weight, vertices.mean(0))]


def _draw_mesh(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    vertices = rand(30, 3) * torch.tensor([30.0, 26.0, 1.0]) + torch.tensor([-3.0, -3.0, 1.0])
    faces = torch.arange(30, dtype=torch.int32).reshape(10, 3)
    drawn = core.draw_mesh(vertices, faces, 24, 20)
    assert (drawn.face >= 0).sum() > 100
    return [drawn.face.to(dtype), drawn.barycentrics.to(dtype), drawn.depth.to(dtype)]


def _photo_colors(core: RenderCore, dtype: torch.dtype) -> list[Tensor]:
    from core.test_photo_colors import ball

    positions, normals, view, depth, trust, planes = ball(500)
    weight, colors = core.photo_colors(positions, normals, view, depth, trust, planes.to(dtype), 0.2, 2.0)
    assert (weight > 0).sum() > 50
    return [weight, colors]


OPERATORS: dict[str, Work] = {
    "rasterize": _rasterize, "photometric_loss": _photometric_loss, "photo_step": _photo_step, "adam": _adam,
    "rays": _rays, "march": _march,
    "composite": _composite, "resample": _resample, "distortion": _distortion, "hash_encode": _hash_encode,
    "mlp": _mlp, "encodings": _encodings, "tsdf": _tsdf, "ray_samples": _ray_samples, "opacity": _opacity,
    "missed": _missed,
    "draw_mesh": _draw_mesh, "photo_colors": _photo_colors,
}  # fmt: skip


def test_every_operator_is_here() -> None:
    together = {
        "target": "photometric_loss", "sh_encode": "encodings", "frequency_encode": "encodings", "tsdf_mark": "tsdf",
        "tsdf_integrate": "tsdf", "marching_cubes": "tsdf", "ray_ranges": "ray_samples", "intervals": "ray_samples",
        "sample_points": "ray_samples", "to_cube": "ray_samples", "exp_density": "opacity",
    }  # fmt: skip
    asked = {name for name in vars(RenderCore) if not name.startswith("_")}
    assert {together.get(name, name) for name in asked} == OPERATORS.keys()


@pytest.mark.cpu_only
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_reference_is_a_core(operator: str, dtype: torch.dtype) -> None:
    expected, got = OPERATORS[operator](NativeCore(), torch.float32), OPERATORS[operator](ReferenceCore(), dtype)
    for want, have in zip(expected, got, strict=True):
        assert have.shape == want.shape and have.dtype == dtype
        assert (have - want).norm() <= 5 * GRADIENT * want.norm()
        assert want.norm() > 0


@pytest.mark.cpu_only
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_reference_makes_no_tensor_on_another_device(operator: str) -> None:
    """Whatever is made without a device lands on `meta`, where it can't meet the arguments, which are on the CPU."""
    core = ReferenceCore()

    class Elsewhere:
        def __getattr__(self, name: str) -> Any:
            def call(*args: Any, **options: Any) -> Any:
                with torch.device("meta"):
                    return getattr(core, name)(*args, **options)

            return call

    for result in OPERATORS[operator](Elsewhere(), torch.float32):  # type: ignore[arg-type]
        assert result.device.type == "cpu"


def test_views_that_no_core_draws_are_named() -> None:
    g, view = leaves(gaussians(5, degree=1), torch.float32), camera(8, 8)
    for core in (ReferenceCore(), NativeCore()):
        with pytest.raises(ValueError, match="SH degree 3 needs 16 coefficients, got 4"):
            core.rasterize(g, view, torch.zeros(3), degree=3)
        with pytest.raises(ValueError, match="expected one pinhole camera"):
            core.rasterize(g, Cameras(view.world_from_cam, view.intrinsics, 8, 8, "equirect"), torch.zeros(3))


# --- gsplat -----------------------------------------------------------------------------------------------


@cores("gsplat", "gsplat stand-in")
def test_gsplats_other_rules_cost_no_more_than_is_said(core: RenderCore) -> None:
    """Opaque splats: alphas end at 0.999 instead of 0.99, and what would fill a pixel is left out."""
    g, view = leaves(gaussians(200, seed=3), torch.float32), camera(40, 30)
    opaque = dataclasses.replace(g, opacities=torch.full((200,), 0.95))
    expected = reference.rasterize(reference.project(opaque, _single(view), 3), 40, 30, torch.zeros(3), 3)[1]
    got = core.rasterize(opaque, view, torch.zeros(3)).alpha
    assert (got - expected).abs().max() <= 19 * FILLED
    one = Gaussians(*(getattr(g, name).detach()[:1] for name in FIELDS))
    front = dataclasses.replace(one, means=torch.zeros(1, 3), scales=torch.full((1, 3), 0.5), opacities=torch.ones(1))
    assert core.rasterize(front, view, torch.zeros(3)).alpha.max() == pytest.approx(0.999, abs=1e-3)


def _single(view: Cameras) -> Cameras:
    return dataclasses.replace(view, world_from_cam=view.world_from_cam.float(), intrinsics=view.intrinsics.float())


@pytest.mark.cpu_only
def test_what_gsplat_lacks_is_left_to_the_other_core(monkeypatch: pytest.MonkeyPatch) -> None:
    core = make("gsplat stand-in", monkeypatch)
    assert core.name == "gsplat"
    assert core.march is core.rest.march
    with pytest.raises(AttributeError, match="no_operator"):
        core.no_operator  # noqa: B018
    assert copy.copy(core).rest is core.rest
    g, view = leaves(gaussians(30), torch.float32), camera(16, 12)
    drawn = core.rasterize(g, view, torch.zeros(3), layers="rgb+depth", median_depth=True)
    assert torch.equal(drawn.image, NativeCore().rasterize(g, view, torch.zeros(3), layers="rgb+depth").image)


@pytest.mark.cpu_only
def test_statistics_of_gsplat_let_go_of_what_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor's hook that holds the tensor keeps its whole graph, until a collection of garbage at best."""
    core = make("gsplat stand-in", monkeypatch)
    draw, means = core._rasterization, []

    def watched(*args: Any, **options: Any) -> Any:
        result = draw(*args, **options)
        means.append(weakref.ref(result[2]["means2d"]))
        return result

    core._rasterization = watched
    gc.collect()
    gc.disable()
    try:
        g, stats = leaves(gaussians(30), torch.float32), SplatStats.zeros(30)
        core.rasterize(g, camera(16, 12), torch.zeros(3), stats=stats).image.sum().backward()
        assert stats.grad_sum.any() and means[0]() is None
    finally:
        gc.enable()


# --- tiny-cuda-nn -----------------------------------------------------------------------------------------


@cores("tcnn", "tcnn stand-in")
@pytest.mark.parametrize("resolution", [1, 2, 7, 16, 100, 1023])
def test_levels_of_tcnn_have_our_vertices(core: RenderCore, resolution: int) -> None:
    """At a vertex the feature is its entry, numbered or hashed as the reference has it."""
    grid = HashGrid(levels=1, features=2, log2_size=14, coarsest=resolution, finest=resolution)
    vertices = (rand(200, 3, seed=resolution) * (resolution + 1)).floor()
    table = rand(grid.entries, 2, seed=1)
    expected = ReferenceCore().hash_encode((vertices / resolution).double(), table.double(), grid)
    # Near a vertex, the feature runs as fast as the resolution; a position has 24 bits.
    got = core.hash_encode(vertices / resolution, table, grid)
    assert torch.allclose(got.double(), expected, rtol=0, atol=VALUE + 4 * resolution * 2.0**-24)


@cores("tcnn", "tcnn stand-in")
@pytest.mark.parametrize("widths", [(32, 64, 16), (31, 64, 64, 3), (20, 16, 5), (48, 128, 128, 128, 33)], ids=str)
@pytest.mark.parametrize("samples", [1, 15, 333])
def test_networks_of_tcnn_are_ours_in_half_precision(core: RenderCore, widths: tuple[int, ...], samples: int) -> None:
    weights = torch.cat([(rand(a * b, seed=a) * 2 - 1) * (6 / (a + b)) ** 0.5 for a, b in pairwise(widths)])
    own, shared = rand(samples, widths[0] - 4), rand(5, 4, seed=1)
    index = torch.arange(samples, dtype=torch.int32) % 5
    exact = [tensor.double().requires_grad_() for tensor in (own, weights, shared)]
    fast = [tensor.detach().clone().requires_grad_() for tensor in (own, weights, shared)]
    expected = reference.mlp(exact[0], exact[1], widths, exact[2], index, output="sigmoid")
    got = core.mlp(fast[0], fast[1], widths, fast[2], index, output="sigmoid")
    assert got.dtype == torch.float32
    assert (got - expected).norm() <= HALF * expected.norm()
    expected.square().mean().backward()
    got.square().mean().backward()
    for want, have in zip(exact, fast, strict=True):
        assert want.grad is not None and have.grad is not None and want.grad.norm() > 0
        assert (have.grad - want.grad).norm() <= 5 * HALF * want.grad.norm()  # values near zero: either side of ReLU


@pytest.mark.cpu_only
@pytest.mark.parametrize("widths", [(8, 3), (8, 24, 3), (8, 32, 64, 3), (8, 256, 3)], ids=str)
def test_networks_that_tcnn_has_no_kernel_for_are_left_to_the_other_core(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, widths: tuple[int, ...]
) -> None:
    tcnn._fits.cache_clear()
    core = make("tcnn stand-in", monkeypatch)
    x, weights = rand(9, 8), rand(sum(a * b for a, b in pairwise(widths)), seed=1)
    with caplog.at_level(logging.WARNING, logger="nerfkit"):
        first, again = core.mlp(x, weights, widths), core.mlp(x, weights, widths)
    assert torch.equal(first, NativeCore().mlp(x, weights, widths)) and torch.equal(first, again)
    assert len([r for r in caplog.records if "-".join(map(str, widths)) in r.getMessage()]) == 1


@pytest.mark.cpu_only
def test_a_tcnn_of_another_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    core = make("tcnn stand-in", monkeypatch)
    network = core._tcnn.Network
    monkeypatch.setattr(core._tcnn, "Network", lambda i, o, config: network(i + 16, o, config))
    with pytest.raises(NerfkitError, match="Network has 1536 parameters, expected 1024: another version"):
        core.mlp(rand(9, 16), rand(16 * 32 + 32 * 16), (16, 32, 16))


# --- the choice -------------------------------------------------------------------------------------------


def test_auto_is_nerfkits_own_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert choose_core().name == choose_core("nerfkit").name == "nerfkit"
    assert choose_core("reference").name == "reference"
    assert not caplog.records
    monkeypatch.setattr(backends, "_of_nerfkit", lambda device: "libnerfkit.so is not built; run `make setup`")
    with caplog.at_level(logging.WARNING, logger="nerfkit"):
        assert choose_core().name == "reference"
    assert [r.getMessage() for r in caplog.records] == [
        "libnerfkit.so is not built; run `make setup`; meanwhile PyTorch's own operators do its work, which is slow"
    ]
    with pytest.raises(NerfkitError, match=r"^libnerfkit\.so is not built; run `make setup`$"):
        choose_core("nerfkit")


def test_a_backend_that_cannot_run_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NerfkitError, match="choose one of auto, nerfkit, gsplat, tcnn, reference"):
        choose_core("magic")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name in ("gsplat", "tcnn"):
        with pytest.raises(NerfkitError, match=f"--backend {name}: needs an NVIDIA GPU, and torch sees none; "):
            choose_core(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(NerfkitError, match="--backend gsplat: runs on NVIDIA GPUs, not on --device cpu; --backend"):
        choose_core("gsplat", "cpu")
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NerfkitError, match=r"gsplat is not installed: pip install 'nerfkit\[gsplat\]'; --backend"):
        choose_core("gsplat", "cuda")
    with pytest.raises(NerfkitError, match=r"tiny-cuda-nn is not installed, and not on PyPI: .*bindings/torch'; --ba"):
        choose_core("tcnn", "cuda:0")


def test_gsplat_without_compiled_kernels_needs_nvcc(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    spec = type("Spec", (), {"submodule_search_locations": [str(tmp_path)]})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(backends.importlib.util, "find_spec", lambda name: spec)
    monkeypatch.setattr(backends.shutil, "which", lambda program: None)
    assert "finds no nvcc" in (backends.obstacle("gsplat") or "")
    (tmp_path / "csrc.cpython-311-x86_64-linux-gnu.so").touch()
    assert backends.obstacle("gsplat") is None


@pytest.mark.cpu_only
def test_adapters_have_every_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [name for name in vars(RenderCore) if not name.startswith("_")]
    for name, kind in (("gsplat stand-in", GsplatCore), ("tcnn stand-in", TcnnCore)):
        core = make(name, monkeypatch)
        assert isinstance(core, kind) and all(callable(getattr(core, operator)) for operator in asked)
