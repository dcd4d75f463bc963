"""Operators beside their peers, on made inputs.

Peers take part where they can be imported: gsplat (rasterizing), tiny-cuda-nn (hash encoding and networks), nerfacc
(marching), torchmetrics and fused-ssim (SSIM); PyTorch's own fused Adam always does.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, normalize

from gpu.context import Context, Rows, Sizes, module
from gpu.timing import Sides, Work, compared
from nerfkit.contracts import Cameras, Gaussians, Rays
from nerfkit.core import choose_core
from nerfkit.core._library import library_of
from nerfkit.core.arguments import checked_degree
from nerfkit.core.backends import obstacle
from nerfkit.core.delegate import Delegating
from nerfkit.core.gsplat import matrices
from nerfkit.core.hash_grid import HashGrid
from nerfkit.core.occupancy import Occupancy, Steps
from nerfkit.core.optim import FusedAdam
from nerfkit.core.types import Rasterized, SplatStats


def scene(sizes: Sizes, device: torch.device) -> tuple[Gaussians, Cameras]:
    """Small Gaussians at random in front of a camera, of all opacities, with SH of degree 3."""
    rng, count = torch.Generator().manual_seed(0), sizes.gaussians

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=rng) * 2 - 1

    means = uniform(count, 3) * torch.tensor([2.0, 1.2, 1.0]) + torch.tensor([0.0, 0.0, 3.0])
    made = {
        "means": means, "quats": uniform(count, 4), "scales": torch.exp(uniform(count, 3) - 5.5),
        "opacities": torch.sigmoid(3 * uniform(count)), "sh": uniform(count, 16, 3) * 0.3,
    }  # fmt: skip
    focal = 0.8 * sizes.width
    intrinsics = torch.tensor([[focal, focal, sizes.width / 2, sizes.height / 2]])
    camera = Cameras(torch.eye(4)[None], intrinsics, sizes.width, sizes.height)
    return Gaussians(**{name: tensor.to(device).requires_grad_() for name, tensor in made.items()}), camera


def leaves(gaussians: Gaussians) -> list[Tensor]:
    return [getattr(gaussians, name) for name in Gaussians.ARRAYS]


class Gsplat(Delegating):
    """gsplat as its own training calls it, and nerfkit's core for the rest of a step.

    Not through nerfkit's adapter, which asks the GPU how many splats are seen, and sends it the camera, each time.
    """

    name = "gsplat"

    def __init__(self, rest: Any, camera: Cameras, device: torch.device):
        super().__init__(rest)
        self._rasterization = importlib.import_module("gsplat").rasterization
        self._view = camera.cam_from_world.to(device), matrices(camera).to(device), camera.width, camera.height

    def rasterize(
        self, gaussians: Gaussians, camera: Cameras, background: Tensor, *, stats: SplatStats | None = None
    ) -> Rasterized:
        """A picture [3, H, W] by the camera that was given first, and before black.

        Args:
            stats: finds the absolute gradients that they would take, but adds them to nothing.
        """
        g = gaussians
        image, alpha, _ = self._rasterization(
            g.means, g.quats, g.scales, g.opacities, g.sh, *self._view, sh_degree=checked_degree(g, camera, None),
            packed=False, absgrad=stats is not None, rasterize_mode="antialiased" if g.antialiased else "classic",
        )  # fmt: skip
        return Rasterized(image[0].permute(2, 0, 1), alpha[0, :, :, 0])


def rasterizers(camera: Cameras, device: torch.device) -> dict[str, Any]:
    found = {"nerfkit": choose_core("nerfkit", device)}
    if obstacle("gsplat", device) is None:
        found["gsplat"] = Gsplat(found["nerfkit"], camera, device)
    return found


def rasterizing(context: Context) -> Rows:
    gaussians, camera = scene(context.sizes, context.device)
    yield from drawing(context, f"{len(gaussians):,} random Gaussians", gaussians, camera)


def drawing(context: Context, what: str, gaussians: Gaussians, camera: Cameras) -> Rows:
    """A view of Gaussians drawn by every rasterizer: forward, with its gradients, and as a whole training step."""
    target = torch.rand(3, camera.height, camera.width, device=context.device)
    cores = rasterizers(camera, context.device)
    what = f"{what}, {camera.width}x{camera.height}"
    for name, make in (("rasterize", forward), ("rasterize, forward and backward", both), ("training step", step)):
        yield from compared(
            context, f"{name}: {what}", {side: make(core, gaussians, camera, target) for side, core in cores.items()}
        )


def forward(core: Any, gaussians: Gaussians, camera: Cameras, target: Tensor) -> Work:
    def work() -> None:
        with torch.no_grad():
            core.rasterize(gaussians, camera, torch.zeros(3))

    return work


def both(core: Any, gaussians: Gaussians, camera: Cameras, target: Tensor) -> Work:
    gradient: list[Tensor] = []  # laid out as the picture is, by channels or by pixels

    def work() -> None:
        stats = SplatStats.zeros(len(gaussians), target.device)
        image = core.rasterize(gaussians, camera, torch.zeros(3), stats=stats).image
        if not gradient:
            gradient.append(torch.empty_like(image).copy_(target))
        torch.autograd.grad(image, leaves(gaussians), gradient)

    return work


def step(core: Any, gaussians: Gaussians, camera: Cameras, target: Tensor) -> Work:
    """Drawn, compared with a photo, and moved by Adam: its learning rates are as good as none, so that steps stay
    alike. nerfkit's own as its training does it, in one call; gsplat's picture through nerfkit's loss."""
    copies = {name: getattr(gaussians, name).detach().clone().requires_grad_() for name in Gaussians.ARRAYS}
    own = dataclasses.replace(gaussians, **copies)
    optimizer = FusedAdam([{"params": [leaf], "lr": 1e-12} for leaf in leaves(own)], core)
    photo = core.target(target)

    def work() -> None:
        if core.name == "nerfkit":
            found = core.photo_step(own, camera, torch.zeros(3), photo, 0.2)
            for name, gradient in found.gradients.items():
                getattr(own, name).grad = gradient
        else:
            core.photometric_loss(core.rasterize(own, camera, torch.zeros(3)).image, photo, 0.2).backward()
        optimizer.step()
        optimizer.zero_grad()

    return work


def encoding(context: Context) -> Rows:
    """NGP's encoding and density network, forward and backward."""
    sizes, device = context.sizes, context.device
    grid, widths = HashGrid(levels=16, features=2, log2_size=sizes.log2_size, finest=2048), (32, 64, 16)
    rng = torch.Generator().manual_seed(0)
    positions = torch.rand(sizes.samples, 3, generator=rng).to(device)
    table = (torch.rand(grid.entries, grid.features, generator=rng) * 1e-4).to(device).requires_grad_()
    weights = (torch.randn(32 * 64 + 64 * 16, generator=rng) * 0.2).to(device).requires_grad_()

    def side(core: Any, table_dtype: torch.dtype = torch.float32) -> Work:
        def work() -> None:
            out = core.mlp(core.hash_encode(positions, table.to(table_dtype), grid), weights, widths)
            torch.autograd.grad(out.square().sum(), [table, weights])

        return work

    sides = {
        "nerfkit": side(choose_core("nerfkit", device)), "PyTorch": side(choose_core("reference", device)),
    }  # fmt: skip
    if library_of(positions).lanes == 1:
        sides["nerfkit, the table rounded to halfs each time"] = side(choose_core("nerfkit", device), torch.float16)
    if obstacle("tcnn", device) is None:
        sides["tiny-cuda-nn"] = tiny_cuda_nn(grid, positions)
    title = f"hash encoding {grid.levels}x{grid.features}, MLP {widths}, forward and backward: {sizes.samples:,}"
    yield from compared(context, title, sides)


def tiny_cuda_nn(grid: HashGrid, positions: Tensor) -> Work:
    """With its own levels and precision, not through nerfkit's adapter."""
    hashing = {
        "otype": "HashGrid", "n_levels": grid.levels, "n_features_per_level": grid.features,
        "log2_hashmap_size": grid.log2_size, "base_resolution": grid.coarsest,
        "per_level_scale": (grid.finest / grid.coarsest) ** (1 / (grid.levels - 1)),
    }  # fmt: skip
    network = {
        "otype": "FullyFusedMLP", "activation": "ReLU", "output_activation": "None", "n_neurons": 64,
        "n_hidden_layers": 1,
    }  # fmt: skip
    model = importlib.import_module("tinycudann").NetworkWithInputEncoding(3, 16, hashing, network)

    def work() -> None:
        torch.autograd.grad(model(positions).float().square().sum(), list(model.parameters()))

    return work


def marching(context: Context) -> Rows:
    """Rays through a grid of 128^3 cells, a tenth of them occupied."""
    sizes, device = context.sizes, context.device
    rng = torch.Generator().manual_seed(0)
    occupied = torch.rand(1, 128, 128, 128, generator=rng) < 0.1
    origins = normalize(torch.randn(sizes.rays, 3, generator=rng), dim=1) * 2
    directions = normalize(torch.rand(sizes.rays, 3, generator=rng) - 0.5 - origins, dim=1)
    core, step = choose_core("nerfkit", device), 2 * 3**0.5 / 512
    grid = Occupancy.pack(occupied.to(device), 1.0)
    rays = Rays(origins.to(device), directions.to(device), torch.zeros(sizes.rays, dtype=torch.int64, device=device))
    ranges = torch.tensor([0.0, 4.0], device=device).repeat(sizes.rays, 1)
    jitter = torch.full((sizes.rays,), 0.5, device=device)
    sides: Sides = {"nerfkit": lambda: core.march(rays, ranges, jitter, grid, Steps(step, step))}
    nerfacc = module("nerfacc") if device.type == "cuda" else None
    if nerfacc is not None:
        estimator = nerfacc.OccGridEstimator([-1.0] * 3 + [1.0] * 3, resolution=128).to(device)
        estimator.binaries = occupied.permute(0, 3, 2, 1).contiguous().to(device)
        sides["nerfacc"] = lambda: estimator.sampling(rays.origins, rays.directions, render_step_size=step)
    yield from compared(context, f"marching, 128^3 cells: {sizes.rays:,} rays", sides)


def similarity(context: Context) -> Rows:
    """0.8 L1 + 0.2 (1 - SSIM), forward and backward.

    What ours needs of the photo alone, its blurred mean and square, is found before: a training keeps it for as long as
    it keeps the photo. The others have no place for it, and blur the photo each time.
    """
    sizes, device = context.sizes, context.device
    core = choose_core("nerfkit", device)
    rng = torch.Generator().manual_seed(0)
    photo, image = (torch.rand(3, sizes.height, sizes.width, generator=rng).to(device) for _ in range(2))
    image.requires_grad_()
    target = core.target(photo)

    def of(ssim: Callable[[Tensor, Tensor], Tensor]) -> Work:
        def work() -> None:
            loss = 0.8 * l1_loss(image, photo) + 0.2 * (1 - ssim(image[None], photo[None]))
            torch.autograd.grad(loss, image)

        return work

    sides: Sides = {"nerfkit": lambda: torch.autograd.grad(core.photometric_loss(image, target, 0.2), image)}
    fused = module("fused_ssim") if device.type == "cuda" else None
    if fused is not None:
        sides["fused-ssim"] = of(fused.fused_ssim)
    metrics = module("torchmetrics.functional.image")
    if metrics is not None:
        sides["torchmetrics"] = of(lambda a, b: metrics.structural_similarity_index_measure(a, b, data_range=1.0))
    yield from compared(context, f"L1 and SSIM, forward and backward: {sizes.width}x{sizes.height}", sides)


def optimizing(context: Context) -> Rows:
    """An Adam step over the Gaussians' 59 numbers each."""
    sizes, device = context.sizes, context.device
    count = 59 * sizes.gaussians

    def side(make: Callable[[Tensor], Any]) -> Work:
        param = torch.zeros(count, device=device).requires_grad_()
        param.grad = torch.rand(count, device=device)
        return make(param).step  # type: ignore[no-any-return]

    core = choose_core("nerfkit", device)
    sides = {
        "nerfkit": side(lambda param: FusedAdam([{"params": [param], "lr": 1e-3}], core)),
        "PyTorch, fused": side(lambda param: torch.optim.Adam([param], lr=1e-3, fused=True)),
    }
    yield from compared(context, f"Adam: {count:,} numbers", sides)
