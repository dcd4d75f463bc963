"""One training iteration of the Gaussians, stage by stage, beside the same iteration through the PyTorch reference.

    python scripts/bench_core.py SCENE [--downscale 4] [--gaussians 50000] [--repeats 40]

The Gaussians are trained for a short while first, so that their sizes and depths are those of a real scene.
Times are medians; both sides run in turns in the same process.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from one_by_one import operators_one_by_one

from nerfkit.contracts import Gaussians
from nerfkit.core import choose_core, reference
from nerfkit.core._header import constants
from nerfkit.core._library import describe, library
from nerfkit.data.scene import Scene
from nerfkit.machine import keep_freed_memory
from nerfkit.models.gaussians.config import Config
from nerfkit.models.gaussians.model import Model
from nerfkit.models.gaussians.parameters import activate
from nerfkit.train.passes import backward

WARM_UP_STEPS = 600


def trained_model(scene: Scene, gaussians: int, steps: int) -> Model:
    """A model with (close to) the wanted number of Gaussians, all densification done, SH of degree 3."""
    model = Model.create(Config(cap=gaussians, densify_until=0.8), scene, choose_core(), torch.device("cpu"))
    rng = torch.Generator().manual_seed(0)
    for step in range(steps):
        iterate(model, rng, step / steps)
    return model


def iterate(model: Model, rng: torch.Generator, progress: float) -> None:
    model.optimizer.zero_grad()
    backward(model.losses(progress, rng))
    model.after_backward(progress)
    model.optimizer.step()
    model.after_step(progress)


@contextmanager
def timed_operators() -> Iterator[dict[str, float]]:
    """Seconds spent in each operator of the library while the block runs."""
    seconds: dict[str, float] = defaultdict(float)
    call = library().call

    def timed(function: str, /, **arguments: Any) -> Any:
        start = time.perf_counter()
        out = call(function, **arguments)
        seconds[function] += time.perf_counter() - start
        return out

    library().call = timed  # type: ignore[method-assign]
    try:
        yield seconds
    finally:
        library().call = call  # type: ignore[method-assign]


def measure_stages(model: Model, repeats: int) -> tuple[dict[str, float], float, float]:
    """Median milliseconds of every operator, of the iteration made of them, and of it as it is, with a photo's in one
    call."""
    rng = torch.Generator().manual_seed(1)
    stages: dict[str, list[float]] = defaultdict(list)
    by_operators, whole = [], []
    for _ in range(repeats):
        with timed_operators() as seconds, operators_one_by_one("cpu"):
            by_operators.append(timed_iteration(model, rng))
        for name, value in seconds.items():
            stages[name].append(value)
        whole.append(timed_iteration(model, rng))
    medians = {name: 1e3 * statistics.median(values) for name, values in stages.items()}
    return medians, 1e3 * statistics.median(by_operators), 1e3 * statistics.median(whole)


def timed_iteration(model: Model, rng: torch.Generator) -> float:
    start = time.perf_counter()
    iterate(model, rng, 0.9)
    return time.perf_counter() - start


def pairs_per_pixel(model: Model) -> tuple[float, float]:
    """Evaluated (pixel, Gaussian) pairs per pixel, mean over the views: by rows of 8, and by whole tiles."""
    by_rows, by_tiles, pixels = 0.0, 0.0, 0
    bits = torch.tensor([bin(i).count("1") for i in range(256)])
    call = library().call
    found: dict[str, Any] = {}

    def watch(function: str, /, **arguments: Any) -> Any:
        if function == "nk_rasterize_fwd":
            found.update(arguments)
        return call(function, **arguments)

    library().call = watch  # type: ignore[method-assign]
    tile = int(constants()["TILE"])
    try:
        for index in model.scene.train:
            camera = model.scene.views[index].camera
            model.render(camera)
            rows = found["reach"][: int(found["tile_offsets"][-1])]
            by_rows += tile * bits[rows.long()].sum().item()
            by_tiles += tile * tile * len(rows)
            pixels += camera.width * camera.height
    finally:
        library().call = call  # type: ignore[method-assign]
    return by_rows / pixels, by_tiles / pixels


def reference_iteration(model: Model, index: int) -> float:
    """Seconds of forward, loss, backward and Adam through the PyTorch reference in float32, on one view."""
    view = model.scene.views[index]
    target = view.image().permute(2, 0, 1).float() / 255
    params = {name: tensor.detach().clone().requires_grad_() for name, tensor in model.params.items()}
    optimizer = torch.optim.Adam(list(params.values()), lr=1e-4)
    start = time.perf_counter()
    gaussians: Gaussians = activate(params)
    splats = reference.project(gaussians, view.camera, 3)
    image, _ = reference.rasterize(splats, view.camera.width, view.camera.height, torch.zeros(3), 3)
    reference.photometric_loss(image, target, 0.2).backward()
    optimizer.step()
    return time.perf_counter() - start


def in_turns(sides: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, run in sides.items():
            times[name].append(run())
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene", type=Path)
    parser.add_argument("--downscale", type=int, default=4)
    parser.add_argument("--gaussians", type=int, default=50_000)
    parser.add_argument("--repeats", type=int, default=40)
    parser.add_argument("--steps", type=int, default=WARM_UP_STEPS, help="training steps before measuring")
    parser.add_argument("--no-reference", action="store_true")
    options = parser.parse_args()

    keep_freed_memory()  # as the command line does
    scene = Scene.load(options.scene, downscale=options.downscale)
    scene.preload()
    model = trained_model(scene, options.gaussians, options.steps)
    camera = scene.views[0].camera
    core = describe()
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, library {core['isa']}")
    print(f"{camera.width}x{camera.height}, {len(model)} Gaussians, {model.params['sh'].shape[1]} SH coefficients each")
    stages, by_operators, whole = measure_stages(model, options.repeats)
    for name, value in stages.items():
        print(f"  {name:20s} {value:8.2f} ms")
    print(f"  {'the rest (Python)':20s} {by_operators - sum(stages.values()):8.2f} ms")
    print(f"  {'iteration of these':20s} {by_operators:8.2f} ms")
    print(f"  {'iteration as it is':20s} {whole:8.2f} ms")
    rows, tiles = pairs_per_pixel(model)
    pairs = rows * camera.width * camera.height
    print(f"  {rows:.1f} evaluated pairs a pixel ({tiles:.1f} by whole tiles)")
    for name in ("nk_rasterize_fwd", "nk_rasterize_bwd"):
        print(f"  {name}: {pairs / stages[name] / 1e6:.2f} billion pairs/s")
    if not options.no_reference:
        sides = {
            "nerfkit": lambda: measure_stages(model, 5)[2] / 1e3,
            "reference": lambda: reference_iteration(model, scene.train[0]),
        }
        times = in_turns(sides, 3)
        print(f"  reference {1e3 * times['reference']:.0f} ms, nerfkit {1e3 * times['nerfkit']:.1f} ms: "
              f"{times['reference'] / times['nerfkit']:.0f} times as fast")  # fmt: skip


if __name__ == "__main__":
    main()
