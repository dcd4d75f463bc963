"""Sizes, losses and times of the splat formats: ``python scripts/bench_splats.py RUN [--sizes 10MB 2MB]``.

RUN is a trained run of 3D Gaussians whose photos are where it says. Prints Markdown tables: every format as it is
written by default, and with ``--sizes`` what ``nerfkit export --max-size`` keeps. PSNR is over the held-out photos, in
8 bits, and over the same views against renders of the PLY; seconds are CPU seconds of one core, the best of three.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from nerfkit.cli.export import judge_of
from nerfkit.contracts import Gaussians, HasGaussians
from nerfkit.data.similarity import Similarity
from nerfkit.splats import formats
from nerfkit.splats.blocks import degree_of
from nerfkit.splats.budget import fit
from nerfkit.splats.judge import Judge, draw
from nerfkit.splats.options import SplatOptions
from nerfkit.train.run import Run

ROUNDS = 3


def best_seconds(work: Callable[[], Any]) -> float:
    times = []
    for _ in range(ROUNDS):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def table_of_formats(gaussians: Gaussians, photos: Judge, renders: Judge, folder: Path) -> None:
    print("| format | MB | bytes a Gaussian | PSNR, photos | PSNR, the PLY's renders | write, s | read, s |")
    print("|---|---|---|---|---|---|---|")
    variants: list[tuple[str, str, dict[str, Any]]] = [(suffix, suffix, {}) for suffix in formats.WRITTEN]
    variants.insert(4, (".spz, 8 bits", ".spz", {"sh_bits": (8, 8)}))
    variants.insert(6, (".spz, 5 and 4 bits (Niantic's)", ".spz", {"sh_bits": (5, 4)}))
    for name, suffix, settings in variants:
        path = folder / f"splats{suffix}"
        write = best_seconds(lambda p=path, s=settings: formats.write(p, gaussians, up="z", settings=s))
        read = best_seconds(lambda p=path: formats.read(p, up="z"))
        back, size = formats.read(path, up="z"), path.stat().st_size
        print(
            f"| `{name}` | {size / 1e6:.2f} | {size / len(gaussians):.1f} | {photos.psnr(back):.2f} "
            f"| {renders.psnr(back):.1f} | {write:.2f} | {read:.2f} |",
            flush=True,
        )


def table_of_sizes(gaussians: Gaussians, photos: Judge, folder: Path, sizes: list[str]) -> None:
    print("\n| at most | format | Gaussians | SH degree | setting | MB | lost, dB | search, s |")
    print("|---|---|---|---|---|---|---|---|")
    before = photos.psnr(gaussians)
    for size in sizes:
        limit = SplatOptions(max_size=size).bytes()
        assert limit is not None
        for suffix in (".ply", ".compressed.ply", ".spz", ".sog"):
            began = time.process_time()
            found = fit(gaussians, limit, suffix, photos, up="z")
            seconds = time.process_time() - began
            path = folder / f"fitted{suffix}"
            formats.write(path, found.gaussians, up="z", settings=found.settings)
            lost = before - photos.psnr(found.stored)
            setting = ", ".join(f"{key} {value}" for key, value in found.settings.items())
            print(
                f"| {size} | `{suffix}` | {len(found.gaussians):,} | {degree_of(found.gaussians)} | {setting} "
                f"| {path.stat().st_size / 1e6:.2f} | {lost:.2f} | {seconds:.0f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--sizes", nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    run = Run.open(options.run)
    scene = run.scene()
    model = run.model(scene=scene)
    assert isinstance(model, HasGaussians)
    gaussians = model.gaussians()
    photos = judge_of(model, scene, Similarity.identity(), gaussians)
    pictures = [draw(photos.core, gaussians, camera, photos.background) for camera in photos.cameras]
    renders = replace(photos, pictures=pictures)
    print(
        f"{options.run.name}: {len(gaussians):,} Gaussians of SH degree {degree_of(gaussians)}, {len(photos.cameras)} "
        f"held-out photos of {photos.cameras[0].width}x{photos.cameras[0].height}, {photos.psnr(gaussians):.2f} dB\n"
    )
    with tempfile.TemporaryDirectory() as name:
        table_of_formats(gaussians, photos, renders, Path(name))
        if options.sizes:
            table_of_sizes(gaussians, photos, Path(name), options.sizes)


if __name__ == "__main__":
    main()
