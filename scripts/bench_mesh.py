"""Meshes of the bundled scene against its true one, as a table: `python scripts/bench_mesh.py`.

    python scripts/bench_mesh.py [RUN…] [--train NAME…] [--out FOLDER] [--budget 3min] [-- OPTION…]

Every RUN (a folder that `nerfkit train` made of the bundled scene) is meshed by `nerfkit mesh`, as users do, and so are
those that are trained here: gaussians, geometry (gaussians with --gaussians.geometry), ngp and nerf; without a RUN and
--train all but nerf. What follows `--` goes to `nerfkit mesh`: `-- --resolution 384 --from density`.

The truth is what the cameras see of scenes/still_life/truth/mesh.ply. Lengths are in percent of the diagonal of its
box, outside of which nothing counts (nerfkit/mesh/quality/evaluate.py says what the columns are). Results go to stdout as
Markdown, and runs and meshes are kept in --out.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nerfkit.contracts import Cameras, Mesh
    from nerfkit.data.similarity import Similarity
    from nerfkit.mesh.quality.evaluate import MeshError

ROOT = Path(__file__).parents[1]
TRAININGS = {
    "gaussians": ("--model", "gaussians"),
    "geometry": ("--model", "gaussians", "--gaussians.geometry"),
    "ngp": ("--model", "ngp"),
    "nerf": ("--model", "nerf"),
}
USUAL = ("gaussians", "geometry", "ngp")
COLUMNS = (
    "run", "PSNR", "chamfer %", "accuracy %", "completeness %", "\\|cos\\|", "F@0.5 %", "F@1 %", "faces", "seconds"
)  # fmt: skip


def nerfkit(*arguments: object) -> dict[str, Any]:
    """Runs a nerfkit command and returns its JSON result."""
    command = [sys.executable, "-m", "nerfkit.cli", *map(str, arguments), "--json", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


# --- the truth ------------------------------------------------------------------------------------------------------


@functools.cache
def true_mesh() -> Mesh:
    """In the truth's frame: metres, +Z up."""
    from nerfkit import bundled
    from nerfkit.mesh.assets.write import read

    return read(bundled.scene_path("still_life") / "truth" / "mesh.ply")


@functools.cache
def true_views() -> tuple[Cameras, tuple[str, ...]]:
    """The true cameras of the photos (C of them), and the photos' names."""
    import torch

    from nerfkit import bundled
    from nerfkit.contracts import Cameras
    from nerfkit.data.scene import Scene

    folder = bundled.scene_path("still_life")
    views = Scene.load(folder / "truth", images=folder / "photos", normalize=False).views
    poses = torch.cat([view.camera.world_from_cam for view in views])
    intrinsics = torch.cat([view.camera.intrinsics for view in views])
    cameras = Cameras(poses, intrinsics, views[0].camera.width, views[0].camera.height)
    return cameras, tuple(view.name for view in views)


def truth_from_world(run: Path) -> Similarity:
    """From the world of a run's cameras to the truth's frame: what moves its cameras to the true ones best."""
    import torch

    from nerfkit.data.similarity import align
    from nerfkit.train.run import Run

    scene = Run.open(run).scene()
    centers = torch.cat([view.camera.world_from_cam[:, :3, 3] for view in scene.views]).double()
    ours = dict(zip([view.name for view in scene.views], scene.scene_from_world.inverse().points(centers), strict=True))
    cameras, names = true_views()
    true = dict(zip(names, cameras.world_from_cam[:, :3, 3].double(), strict=True))
    shared = sorted(ours.keys() & true.keys())
    if len(shared) < len(true) / 2:
        raise SystemExit(f"{run}: has {len(shared)} of the bundled scene's photos; only its runs can be judged")
    return align(*(torch.stack([of[name] for name in shared]) for of in (ours, true)))


def judge(mesh: Path, run: Path) -> MeshError:
    """How well a mesh file, in the world of the run's cameras, fits the truth."""
    import numpy as np

    from nerfkit.mesh.quality.evaluate import compare
    from nerfkit.mesh.geometry import transformed
    from nerfkit.mesh.assets.write import read

    solid = true_mesh()
    # The room around it is judged by no one: only what lies in the true mesh's box counts.
    box = np.stack([solid.vertices.min(0), solid.vertices.max(0)])
    return compare(transformed(read(mesh), truth_from_world(run)), solid, true_views()[0], box=box)


# --- the table ------------------------------------------------------------------------------------------------------


def train(name: str, budget: str, out: Path) -> Path:
    """A new run of the bundled scene, on poses that are estimated once."""
    from nerfkit import bundled

    poses = out / "poses"
    if not (poses / "poses.json").is_file():
        nerfkit("poses", bundled.scene_path("still_life") / "photos", "--out", fresh(poses))
    nerfkit("train", poses, *TRAININGS[name], "--budget", budget, "--out", fresh(out / name))
    return out / name


def row(run: Path, out: Path, options: list[str]) -> dict[str, Any]:
    """Meshes a run with at most 60,000 faces, if the options don't say otherwise, and judges it."""
    mesh = out / f"{run.name}.glb"
    faces = [] if "--faces" in options else ["--faces", "60000"]
    made = nerfkit("mesh", run, "-o", mesh, *faces, *options)
    record = run / "metrics.json"
    psnr = json.loads(record.read_text())["eval"]["psnr"] if record.is_file() else None
    return {"run": run.name, "psnr": psnr, **made, **dataclasses.asdict(judge(mesh, run))}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [COLUMNS, ["---"] * len(COLUMNS)]
    for of in rows:
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in of["seconds"].items())
        lengths = [f"{of[name]:.3f}" for name in ("chamfer", "accuracy", "completeness")]
        shares = [f"{of[name]:.3f}" for name in ("normal_consistency", "f_score_half", "f_score")]
        psnr = "" if of["psnr"] is None else f"{of['psnr']:.2f}"
        total = sum(of["seconds"].values())
        lines.append([of["run"], psnr, *lengths, *shares, str(of["faces"]), f"{total:.0f} ({stages})"])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--train", nargs="+", choices=TRAININGS, default=[])
    parser.add_argument("--budget", default="3min")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench_mesh")
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    options, for_mesh = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.train or (() if options.runs else USUAL)
    runs = [*options.runs, *(train(name, options.budget, options.out) for name in names)]
    print(table([row(run, options.out, for_mesh) for run in runs]))


if __name__ == "__main__":
    main()
