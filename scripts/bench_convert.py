"""How much memory `nerfkit convert` takes: ``python scripts/bench_convert.py [--count 3000000] [--pairs ply:spz ...]``.

Writes a synthetic scene in each format that is read, converts it in a process of its own, and prints a table: peak
resident memory beyond what the conversion of a hundred Gaussians takes, in MB and in bytes a Gaussian, and CPU seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PAIRS = (
    "ply:ply", "ply:glb", "ply:splat", "ply:compressed.ply", "ply:spz", "ply:sog", "splat:ply", "compressed.ply:ply",
    "spz:ply", "sog:ply", "glb:ply",
)  # fmt: skip
_BLOCK = 1 << 16


def write_scene(path: Path, count: int, coefficients: int = 16) -> None:
    """A PLY of Gaussians whose values are spread as those of a trained scene: places in a ball, small higher bands."""
    rest = 3 * (coefficients - 1)
    names = ["x", "y", "z", "nx", "ny", "nz", *(f"f_dc_{i}" for i in range(3)), *(f"f_rest_{i}" for i in range(rest))]
    names += ["opacity", *(f"scale_{i}" for i in range(3)), *(f"rot_{i}" for i in range(4))]
    spread = np.full(len(names), 0.1, np.float32)
    spread[:6] = [1, 1, 1, 0, 0, 0]
    spread[6:9], spread[-8:] = 0.8, [2, 0.5, 0.5, 0.5, 1, 1, 1, 1]
    middle = np.zeros(len(names), np.float32)
    middle[-7:-4] = -5
    rng = np.random.default_rng(0)
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {count}"]
    with path.open("wb") as file:
        file.write("\n".join([*head, *(f"property float {name}" for name in names), "end_header\n"]).encode())
        for start in range(0, count, _BLOCK):
            rows = rng.standard_normal((min(_BLOCK, count - start), len(names)), np.float32)
            file.write((rows * spread + middle).tobytes())


def convert(*words: str | Path) -> tuple[int, float]:
    """Peak resident bytes and CPU seconds of `nerfkit convert` with these words, in a process of its own."""
    command = [str(Path(sys.executable).with_name("nerfkit")), "convert", *map(str, words), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_maxrss * (1024 if sys.platform == "linux" else 1), usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=3_000_000)
    parser.add_argument("--pairs", nargs="+", default=PAIRS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scene(folder / "few.ply", 100)
        write_scene(folder / "scene.ply", options.count)
        size = (folder / "scene.ply").stat().st_size
        print(f"{options.count:,} Gaussians of SH degree 3, {size / 1e6:.0f} MB as .ply\n")
        print("| pair | MB | bytes a Gaussian | CPU seconds |\n|---|---|---|---|")
        for pair in options.pairs:
            source, _, target = pair.partition(":")
            for size in ("few", "scene"):
                if not (folder / f"{size}.{source}").exists():
                    convert(folder / f"{size}.ply", folder / f"{size}.{source}")
            least, _ = convert(folder / f"few.{source}", folder / f"out.{target}")
            peak, seconds = convert(folder / f"scene.{source}", folder / f"out.{target}")
            (folder / f"out.{target}").unlink()
            more = peak - least
            row = [pair.replace(":", " to "), f"{more / 1e6:.0f}", f"{more / options.count:.0f}", f"{seconds:.1f}"]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
