"""Convex decomposition by CoACD in a process of its own, since it can be neither interrupted nor limited in time.

Wei et al., "Approximate convex decomposition for 3D meshes with collision-aware concavity and tree search",
SIGGRAPH 2022. How long it takes depends on the shape more than on its number of faces: a thin bowl takes minutes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

_CONCAVITIES = (0.3, 0.15, 0.08, 0.04)  # CoACD's threshold, from coarse to fine; its unit is half the longest side
_SETTINGS = {
    "preprocess_resolution": 50,  # voxels of the closed surface that it makes around an open one
    "resolution": 1000,  # samples that distances are measured with
    "mcts_nodes": 20,
    "mcts_iterations": 40,
    "mcts_max_depth": 2,
    "seed": 0,
}


def decompose(vertices: np.ndarray, faces: np.ndarray, closed: bool, parts: int, seconds: float) -> list[np.ndarray]:
    """Vertices of up to ``parts`` convex pieces, each [P, 3] float64: the finest decomposition done in ``seconds``.

    A mesh that is not ``closed`` is first wrapped into one that is, and gets thicker by a voxel or two. Finer and finer
    decompositions are tried, until one has as many pieces as are allowed. Empty where not even the coarsest came about
    in time.
    """
    with tempfile.TemporaryDirectory(prefix="nerfkit-parts-") as folder:
        np.savez(Path(folder) / "mesh.npz", vertices=vertices.astype(np.float64), faces=faces.astype(np.int32))
        command = [sys.executable, "-m", __name__, folder, str(parts), "off" if closed else "auto"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            try:
                child.wait(seconds)
            except subprocess.TimeoutExpired:
                pass
            finally:
                child.kill()
        done = sorted(Path(folder).glob("pieces_*.npz"))
        if not done:
            return []
        with np.load(done[-1]) as pieces:
            return [pieces[name] for name in pieces.files]


def _main(folder: Path, parts: int, preprocess_mode: str) -> None:
    import coacd

    with np.load(folder / "mesh.npz") as mesh:
        body = coacd.Mesh(mesh["vertices"], mesh["faces"])
    for step, concavity in enumerate(_CONCAVITIES):
        pieces = coacd.run_coacd(body, concavity, max_convex_hull=parts, preprocess_mode=preprocess_mode, **_SETTINGS)
        partial = folder / "partial.npz"
        np.savez(partial, *[points for points, _ in pieces])
        partial.rename(folder / f"pieces_{step}.npz")
        if len(pieces) >= parts:
            break


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
