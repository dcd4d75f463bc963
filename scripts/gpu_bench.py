"""The render core on a GPU beside its peers: one table, medians of runs in turns, timed by CUDA's events.

    make gpu-bench                                        # or, where the libraries are built:
    python scripts/gpu_bench.py [--rounds 20] [--only adam]
    python scripts/gpu_bench.py --device cpu --small      # that the script works, without a GPU

Peers take part where they can be imported: gsplat (rasterizing), tiny-cuda-nn (hash encoding and networks), nerfacc
(marching), torchmetrics and fused-ssim (SSIM); PyTorch's own fused Adam always does.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import l1_loss, normalize

from nerfkit.contracts import Cameras, Gaussians, Rays
from nerfkit.core import choose_core
from nerfkit.core.backends import obstacle
from nerfkit.core.hash_grid import HashGrid
from nerfkit.core.occupancy import Occupancy, Steps
from nerfkit.core.optim import FusedAdam
from nerfkit.core.types import SplatStats

WARM_UP = 3
Work = Callable[[], Any]
Sides = dict[str, Work]  # the first is ours


@dataclasses.dataclass(frozen=True)
class Sizes:
    gaussians: int
    width: int
    height: int
    samples: int
    rays: int
    log2_size: int  # of the hash grid's levels


LARGE = Sizes(1_000_000, 1920, 1080, 1 << 20, 1 << 16, 19)
SMALL = Sizes(2_000, 96, 64, 1 << 10, 1 << 6, 10)


def module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except Exception as error:  # peers that are half installed fail in ways of their own
        print(f"without {name}: {type(error).__name__}: {error}", file=sys.stderr)
        return None


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
    return [getattr(gaussians, field.name) for field in dataclasses.fields(gaussians)]


def rasterizers(device: torch.device) -> dict[str, Any]:
    found = {"nerfkit": choose_core("nerfkit", device)}
    if obstacle("gsplat", device) is None:
        found["gsplat"] = choose_core("gsplat", device)
    return found


def rasterizing(sizes: Sizes, device: torch.device) -> Iterator[tuple[str, Sides]]:
    gaussians, camera = scene(sizes, device)
    black = torch.zeros(3)
    weight = torch.rand(3, sizes.height, sizes.width, device=device)

    def forward(core: Any) -> Work:
        def work() -> None:
            with torch.no_grad():
                core.rasterize(gaussians, camera, black)

        return work

    def both(core: Any) -> Work:
        def work() -> None:
            stats = SplatStats.zeros(len(gaussians), device)
            image = core.rasterize(gaussians, camera, black, stats=stats).image
            torch.autograd.grad((image * weight).sum(), leaves(gaussians))

        return work

    def step(core: Any) -> Work:
        own = Gaussians(*(leaf.detach().clone().requires_grad_() for leaf in leaves(gaussians)))
        optimizer = FusedAdam([{"params": [leaf], "lr": 1e-6} for leaf in leaves(own)], core)
        target = core.target(weight)

        def work() -> None:
            core.photometric_loss(core.rasterize(own, camera, black).image, target, 0.2).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        return work

    cores = rasterizers(device)
    what = f"{sizes.gaussians:,} Gaussians, {sizes.width}x{sizes.height}"
    for name, make in (("rasterize", forward), ("rasterize, forward and backward", both), ("training step", step)):
        yield f"{name}: {what}", {side: make(core) for side, core in cores.items()}


def encoding(sizes: Sizes, device: torch.device) -> Iterator[tuple[str, Sides]]:
    """NGP's encoding and density network, forward and backward."""
    grid, widths = HashGrid(levels=16, features=2, log2_size=sizes.log2_size, finest=2048), (32, 64, 16)
    rng = torch.Generator().manual_seed(0)
    positions = torch.rand(sizes.samples, 3, generator=rng).to(device)
    table = (torch.rand(grid.entries, grid.features, generator=rng) * 1e-4).to(device).requires_grad_()
    weights = (torch.randn(32 * 64 + 64 * 16, generator=rng) * 0.2).to(device).requires_grad_()

    def side(core: Any) -> Work:
        def work() -> None:
            out = core.mlp(core.hash_encode(positions, table, grid), weights, widths)
            torch.autograd.grad(out.square().sum(), [table, weights])

        return work

    sides = {
        "nerfkit": side(choose_core("nerfkit", device)), "PyTorch": side(choose_core("reference", device)),
    }  # fmt: skip
    if obstacle("tcnn", device) is None:
        sides["tiny-cuda-nn"] = tiny_cuda_nn(grid, positions)
    yield f"hash encoding {grid.levels}x{grid.features}, MLP {widths}, forward and backward: {sizes.samples:,}", sides


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


def marching(sizes: Sizes, device: torch.device) -> Iterator[tuple[str, Sides]]:
    """Rays through a grid of 128^3 cells, a tenth of them occupied."""
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
    yield f"marching, 128^3 cells: {sizes.rays:,} rays", sides


def similarity(sizes: Sizes, device: torch.device) -> Iterator[tuple[str, Sides]]:
    """0.8 L1 + 0.2 (1 - SSIM), forward and backward."""
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
    yield f"L1 and SSIM, forward and backward: {sizes.width}x{sizes.height}", sides


def optimizing(sizes: Sizes, device: torch.device) -> Iterator[tuple[str, Sides]]:
    """An Adam step over the Gaussians' 59 numbers each."""
    count = 59 * sizes.gaussians

    def side(make: Callable[[Tensor], Any]) -> Work:
        param = torch.zeros(count, device=device).requires_grad_()
        param.grad = torch.rand(count, device=device)
        return make(param).step  # type: ignore[no-any-return]

    core = choose_core("nerfkit", device)
    yield (
        f"Adam: {count:,} numbers",
        {
            "nerfkit": side(lambda param: FusedAdam([{"params": [param], "lr": 1e-3}], core)),
            "PyTorch, fused": side(lambda param: torch.optim.Adam([param], lr=1e-3, fused=True)),
        },
    )


CASES = {
    "rasterizing": rasterizing, "encoding": encoding, "marching": marching, "similarity": similarity,
    "adam": optimizing,
}  # fmt: skip


def milliseconds(work: Work, device: torch.device) -> float:
    if device.type == "cpu":
        start = time.perf_counter()
        work()
        return 1e3 * (time.perf_counter() - start)
    before, after = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    before.record()
    work()
    after.record()
    after.synchronize()
    return before.elapsed_time(after)


def in_turns(sides: Sides, rounds: int, device: torch.device) -> dict[str, float]:
    """The median time of each side; they take turns, so that what slows the machine down does so for all of them."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(WARM_UP + rounds):
        for name, work in sides.items():
            taken = milliseconds(work, device)
            if turn >= WARM_UP:
                times[name].append(taken)
    return {name: statistics.median(own) for name, own in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes of which even a CPU is capable")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=tuple(CASES), action="append", help="some of the cases")
    options = parser.parse_args()
    device = torch.device(options.device)
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{place}, torch {torch.__version__}, medians of {options.rounds}\n")
    print("| | | ms | nerfkit is faster by |\n|---|---|--:|--:|")
    for name in options.only or CASES:
        for title, sides in CASES[name](SMALL if options.small else LARGE, device):
            found = in_turns(sides, options.rounds, device)
            for side, taken in found.items():
                print(f"| {title} | {side} | {taken:.3f} | {taken / found['nerfkit']:.2f} |", flush=True)


if __name__ == "__main__":
    main()
