"""How long unwrapping takes, and how good its charts are, as a table: `python scripts/bench_unwrap.py RUN FACES…`.

    python scripts/bench_unwrap.py RUN FACES… [--size 4096]

RUN is a run folder in which `nerfkit mesh RUN --stage clean` has left its surface, which is simplified to each number
of FACES. Seams are in lengths of the mesh's longest side; "filled" is the charts' share of the square without gaps;
densities are those of the faces' texels per length, against the median.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh import store
from nerfkit.mesh.geometry import face_crosses
from nerfkit.mesh.shape.simplify import simplify
from nerfkit.mesh.texture.seams import seam_edges
from nerfkit.mesh.texture.unwrap import charts_of, unwrap


def quality(mesh: Mesh) -> tuple[int, float, float, np.ndarray]:
    """Charts, length of seams, share of the square, and the densities' 1st and 99th percentile."""
    assert mesh.uvs is not None
    ends = mesh.vertices.astype(np.float64)[seam_edges(mesh)[:, 0]]
    seam = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).sum() / np.ptp(mesh.vertices, axis=0).max()
    flat = mesh.uvs.astype(np.float64)[mesh.faces]
    along, across = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
    area = np.abs(along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0])
    crosses = np.linalg.norm(face_crosses(mesh), axis=1)
    density = np.sqrt(area / np.maximum(crosses, 1e-300))[crosses > 0]
    percentiles = np.quantile(density / np.median(density), [0.01, 0.99])
    return int(charts_of(mesh).max()) + 1, float(seam), float(area.sum() / 2), percentiles


def cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(of.ru_utime + of.ru_stime for of in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("faces", type=int, nargs="+")
    parser.add_argument("--size", type=int, default=4096)
    options = parser.parse_args()
    file = options.run / ".mesh" / "clean.npz"
    if not file.is_file():
        sys.exit(f"{file}: isn't there; run nerfkit mesh {options.run} --stage clean first")
    dense = store.load(file)[0]
    print("| faces | CPU s | s | charts | seams | filled | density 1 % | 99 % |\n|---|---|---|---|---|---|---|---|")
    for faces in options.faces:
        mesh = simplify(dense, faces)
        cpu, wall = cpu_seconds(), time.perf_counter()
        made = unwrap(mesh, options.size)
        cpu, wall = cpu_seconds() - cpu, time.perf_counter() - wall
        charts, seam, filled, density = quality(made)
        print(
            f"| {len(mesh.faces):,} | {cpu:.1f} | {wall:.1f} | {charts:,} | {seam:.1f} | {filled:.3f} "
            f"| {density[0]:.2f} | {density[1]:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
