"""The operators for fields (hash encoding, MLPs, ray marching, compositing) and NGP beside their PyTorch definitions.

    python scripts/bench_fields.py [--samples 262144] [--rounds 5]

All sides run in turns in one process, in single precision; figures are medians. fast-ngp, a hash-grid NGP in plain
PyTorch, takes part where it is installed (`pip install --no-deps fast-ngp`), with networks and tables of the same size.
"""

from __future__ import annotations

import argparse
import importlib.util
import platform
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from bench_core import in_turns
from torch import Tensor

from nerfkit.contracts import Rays, Samples
from nerfkit.core import choose_core, reference, reference_hash_grid, reference_march, reference_ray_samples
from nerfkit.core._library import describe
from nerfkit.core.hash_grid import HashGrid
from nerfkit.core.occupancy import Occupancy, Steps
from nerfkit.machine import keep_freed_memory
from nerfkit.models.fields.draw import composite
from nerfkit.models.fields.space import Space
from nerfkit.models.ngp.config import Config
from nerfkit.models.ngp.field import NgpField

Side = Callable[[], float]  # runs once and gives the seconds of what is measured


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def forward_and_backward(operator: Callable[..., Tensor], *leaves: Tensor) -> float:
    def work() -> None:
        operator(*leaves).sum().backward()  # type: ignore[no-untyped-call]

    for leaf in leaves:
        leaf.grad = None
    return timed(work)


def hash_sides(grid: HashGrid, samples: int) -> dict[str, Side]:
    positions, table = torch.rand(samples, 3), torch.randn(grid.entries, grid.features).requires_grad_()
    core = choose_core()
    return {
        "nerfkit": lambda: forward_and_backward(lambda t: core.hash_encode(positions, t, grid), table),
        "reference": lambda: forward_and_backward(lambda t: reference_hash_grid.hash_encode(positions, t, grid), table),
    }


def some_rays(count: int) -> tuple[Rays, Tensor, Tensor]:
    origins = torch.nn.functional.normalize(torch.randn(count, 3), dim=1)
    directions = torch.nn.functional.normalize(0.3 * torch.randn(count, 3) - origins, dim=1)
    rays = Rays(origins, directions, torch.zeros(count, dtype=torch.int64))
    return rays, torch.tensor([[0.0, 3.0]] * count), torch.rand(count)


def mlp_sides(widths: tuple[int, ...], samples: int) -> dict[str, Side]:
    """The reference is what PyTorch users write: its matrix products and activations."""
    rows = torch.randn(samples, widths[0]).requires_grad_()
    weights = torch.cat([torch.randn(a * b) * (2 / a) ** 0.5 for a, b in pairwise(widths)]).requires_grad_()
    core = choose_core()
    return {
        "nerfkit": lambda: forward_and_backward(lambda x, w: core.mlp(x, w, widths), rows, weights),
        "reference": lambda: forward_and_backward(lambda x, w: reference.mlp(x, w, widths), rows, weights),
    }


def march_sides(rays: int) -> dict[str, Side]:
    """Rays through a grid of 128^3 cells of which a ball of radius 0.4 is occupied."""
    axis = (torch.arange(128) + 0.5) / 64 - 1
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    grid = Occupancy.pack((x * x + y * y + z * z < 0.16)[None], 1.0)
    asked = (*some_rays(rays), grid, Steps(3**0.5 / 1024, 0.1))
    core = choose_core()
    return {
        "nerfkit": lambda: timed(lambda: core.march(*asked)),
        "reference": lambda: timed(lambda: reference_march.march(*asked)),
    }


def composite_sides(samples: int, of_ray: int) -> dict[str, Side]:
    alphas, values = (torch.rand(samples) * 0.1).requires_grad_(), torch.rand(samples, 3).requires_grad_()
    offsets = torch.arange(0, samples + 1, of_ray, dtype=torch.int32)
    core = choose_core()
    return {
        "nerfkit": lambda: forward_and_backward(lambda a, v: core.composite(a, v, offsets)[0], alphas, values),
        "reference": lambda: forward_and_backward(lambda a, v: reference.composite(a, v, offsets)[0], alphas, values),
    }


class PlainCore:
    """What a PyTorch user writes: the definitions, and compositing of rays with equally many samples as a matrix."""

    name = "pytorch"
    hash_encode = staticmethod(reference_hash_grid.hash_encode)
    mlp = staticmethod(reference.mlp)
    exp_density = staticmethod(reference_ray_samples.exp_density)
    opacity = staticmethod(reference_ray_samples.opacity)
    sample_points = staticmethod(reference_ray_samples.sample_points)
    sh_encode = staticmethod(reference.sh_basis)
    to_cube = staticmethod(reference_ray_samples.to_cube)

    @staticmethod
    def composite(alphas: Tensor, values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = alphas.view(len(offsets) - 1, -1)
        weights, left = reference.compositing_weights(rows)
        return (weights[..., None] * values.view(*rows.shape, -1)).sum(1), left, weights.flatten()


def ngp_sides(samples: int, of_ray: int, **options: Any) -> dict[str, Side]:
    """A training step of NGP but for marching and Adam: encoding, both networks, compositing, and all gradients."""
    rays = samples // of_ray
    start = torch.rand(rays, 1) * 0.5 + torch.linspace(0, 0.2, of_ray + 1)[:-1]
    picked = Samples(
        start.flatten(), start.flatten() + 0.2 / of_ray, torch.arange(0, samples + 1, of_ray, dtype=torch.int32),
        torch.arange(rays, dtype=torch.int32).repeat_interleave(of_ray),
    )  # fmt: skip
    origins = torch.rand(rays, 3) - 0.5
    around = Rays(origins, torch.nn.functional.normalize(-origins, dim=1), torch.zeros(rays, dtype=torch.int64))

    def side(core: Any) -> Side:
        field = NgpField(Config(**options).for_device("cpu"), Space(), 1, core, torch.Generator().manual_seed(0))

        def work() -> None:
            drawn = composite(field, around, picked, core)
            (drawn.rgb.square().sum() + drawn.transmittance.sum()).backward()  # type: ignore[no-untyped-call]

        return lambda: timed(work)

    sides = {"nerfkit": side(choose_core()), "reference": side(PlainCore())}
    if importlib.util.find_spec("fast_ngp"):
        sides["fast-ngp"] = fast_ngp_side(Config(**options).for_device("cpu"), around, picked)
    return sides


def fast_ngp_side(config: Config, rays: Rays, samples: Samples) -> Side:
    """The same step with fast-ngp's encoding and networks; directions and compositing as the reference has them."""
    from fast_ngp.encoding.multi_hash_enc import MultiresHashEncoding
    from fast_ngp.models.fast_mlp import FastMLP

    assert config.log2_size is not None and config.finest is not None and config.width is not None
    encoding = MultiresHashEncoding(
        config.levels, config.features, config.log2_size, config.coarsest, config.finest
    )  # fmt: skip
    density = FastMLP(config.levels * config.features, 16, 1, config.width, use_bias=False)
    color = FastMLP(16 + (config.sh_degree + 1) ** 2, 3, config.color_layers, config.width, use_bias=False)
    places = (reference_ray_samples.sample_points(rays, samples) + 1) / 2
    of_ray = reference.sh_basis(rays.directions, config.sh_degree)

    def work() -> None:
        geometry = density(encoding(places))
        colors = torch.sigmoid(color(torch.cat([geometry, of_ray[samples.ray_index]], 1)))
        alphas, _ = reference_ray_samples.opacity(geometry[:, 0].exp(), samples)
        rgb, left, _ = PlainCore.composite(alphas, colors, samples.offsets)
        (rgb.square().sum() + left.sum()).backward()  # type: ignore[no-untyped-call]

    return lambda: timed(work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=1 << 18)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    keep_freed_memory()  # as the command line does
    core = describe()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, library {core['isa']}")
    cases = {
        f"hash encoding {grid.levels}x{grid.features}, 2^{grid.log2_size}, forward and backward": (
            hash_sides(grid, options.samples), options.samples, "sample"
        )
        for grid in (HashGrid(), HashGrid(log2_size=17), HashGrid(levels=16, features=2))
    }  # fmt: skip
    for widths in ((32, 64, 16), (32, 64, 64, 3)):
        work = 6e-9 * sum(a * b for a, b in pairwise(widths)) * options.samples
        sides = mlp_sides(widths, options.samples)
        cases[f"MLP {widths}, {work:.1f} GFLOP forward and backward"] = sides, options.samples, "sample"
    cases["marching, 128^3 cells"] = march_sides(4096), 4096, "ray"
    cases["compositing, 64 samples a ray, forward and backward"] = (
        composite_sides(options.samples, 64), options.samples, "sample"
    )  # fmt: skip
    for name, choices in {"": {}, ", networks 64 wide": {"width": 64}}.items():
        title = f"NGP, forward and backward, 16 samples a ray{name}"
        cases[title] = ngp_sides(options.samples // 4, 16, **choices), options.samples // 4, "sample"
    for name, (sides, count, unit) in cases.items():
        seconds = in_turns(sides, options.rounds)
        ratios = [f"{value / seconds['nerfkit']:.1f} times as fast as {peer}" for peer, value in seconds.items()]
        print(f"{name}: {1e9 * seconds['nerfkit'] / count:.0f} ns a {unit}; {', '.join(ratios[1:])}", flush=True)


if __name__ == "__main__":
    main()
