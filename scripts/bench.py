"""The figures nerfkit publishes, measured on this machine: `make bench`.

    python scripts/bench.py [poses] [iteration] [fields] [curve] [models] [still_life] [--data FOLDER] [--out FOLDER]

poses       all 50 fox photos: registered, reprojection error, seconds, distance to the poses that come with them
iteration   one training iteration on fox, by stages, beside the PyTorch reference (scripts/bench_core.py)
fields      hash encoding, MLPs, ray marching and compositing beside their PyTorch definitions (scripts/bench_fields.py)
curve       PSNR of Gaussians on held-out fox photos over training time, at 270x480 and 540x960
models      PSNR of every model over training time, on fox at 270x480 and on Lego at 400x400
still_life  the bundled scene against its ground truth: poses, PSNR, and the mesh's chamfer (bench_mesh.py: all models)

Without names all of them. The photos lie in NERFKIT_DATA, or ../shared/data beside the checkout; where that is missing,
only the fields and the bundled scene are measured. Results go to stdout as Markdown, and the runs are kept in --out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import bench_mesh
from bench_mesh import fresh, nerfkit

ROOT = Path(__file__).parents[1]
SECTIONS = ("poses", "iteration", "fields", "curve", "models", "still_life")


def bench_poses(data: Path, out: Path) -> None:
    from nerfkit.poses.compare import pose_errors, read_poses

    start = time.perf_counter()
    found = nerfkit("poses", data / "fox" / "images", "--out", fresh(out / "fox_poses"))
    seconds = time.perf_counter() - start
    error = pose_errors(read_poses(out / "fox_poses" / "transforms.json"), read_poses(data / "fox" / "transforms.json"))
    print(f"fox: {found['registered']} of {found['photos']} photos, {found['mean_reprojection_error_px']:.2f} px, "
          f"{seconds:.0f} s ({found['seconds']})")  # fmt: skip
    print(f"against its transforms.json: {asdict(error)}")


def fox_poses(data: Path, out: Path) -> Path:
    folder = out / "fox_poses"
    if not (folder / "poses.json").is_file():
        nerfkit("poses", data / "fox" / "images", "--out", folder)
    return folder


def bench_iteration(data: Path, out: Path) -> None:
    subprocess.run([sys.executable, str(ROOT / "scripts" / "bench_core.py"), str(fox_poses(data, out))], check=True)


def bench_fields() -> None:
    subprocess.run([sys.executable, str(ROOT / "scripts" / "bench_fields.py")], check=True)


def curve(scene: Path, model: str, downscale: int, budget: str, run: Path) -> None:
    """Trains as users do, and prints PSNR on the held-out photos over training time."""
    arguments = "--model", model, "--downscale", downscale, "--budget", budget, "--eval-every", 0.05
    metrics = nerfkit("train", scene, *arguments, "--out", fresh(run))
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    points = [(line["seconds"], line["step"], line["eval"]["psnr"]) for line in lines if "eval" in line]
    print(f"\n{scene.name} / {downscale}, --model {model} --budget {budget}: {metrics['eval']['psnr']:.2f} dB, "
          f"SSIM {metrics['eval']['ssim']:.4f}, {metrics['steps']} steps, {metrics['parameters']} parameters, "
          f"{metrics['peak_memory_bytes'] / 2**30:.2f} GiB at most")  # fmt: skip
    print("\n| seconds | steps | PSNR |\n|---|---|---|")
    for seconds, step, psnr in points:
        print(f"| {seconds:.0f} | {step} | {psnr:.2f} |", flush=True)


def bench_curve(data: Path, out: Path) -> None:
    for downscale, budget in ((4, "60s"), (4, "3min"), (2, "3min")):
        curve(fox_poses(data, out), "gaussians", downscale, budget, out / f"fox_{downscale}_{budget}")


def bench_models(data: Path, out: Path) -> None:
    for model in ("gaussians", "ngp", "nerf"):
        curve(fox_poses(data, out), model, 4, "3min", out / f"fox_{model}_3min")
        for budget in ("3min", "10min"):
            curve(data / "lego", model, 2, budget, out / f"lego_{model}_{budget}")


def bench_still_life(out: Path) -> None:
    from nerfkit import bundled
    from nerfkit.poses.compare import pose_errors, read_poses

    scene, truth = bundled.scene_path("still_life"), bundled.scene_path("still_life") / "truth"
    expected = bundled.recipes()["still_life"]["expected"]
    run = fresh(out / "still_life")
    result = nerfkit("run", scene / "photos", "--budget", "3min", "--out", run)
    psnr = result["metrics"]["eval"]["psnr"]
    print(f"still life: PSNR {psnr:.2f} dB after --budget 3min (expected: {expected['psnr']} or more)")
    ours, true = (read_poses(folder / "transforms.json") for folder in (run / "poses", truth))
    print(f"poses against the truth: {asdict(pose_errors(ours, true))} (expected: at most "
          f"{expected['position_error_percent']} %, {expected['rotation_error_degrees']} degrees)")  # fmt: skip
    error = bench_mesh.judge(run / "exports" / "mesh.glb", run)
    print(f"mesh against the truth: chamfer {error.chamfer:.2f} % of the diagonal (expected: at most "
          f"{expected['chamfer_percent']}); {asdict(error)}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("NERFKIT_DATA", ROOT.parent / "shared" / "data"))
    )
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "bench")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    print(f"{platform.platform()}, {os.cpu_count()} cores\n")
    for section in options.sections or SECTIONS:
        if section == "still_life":
            bench_still_life(options.out)
        elif section == "fields":
            bench_fields()
        elif (options.data / "fox").is_dir():
            measured = {
                "poses": bench_poses,
                "iteration": bench_iteration,
                "curve": bench_curve,
                "models": bench_models,
            }
            measured[section](options.data, options.out)
        else:
            print(f"{section}: left out, {options.data / 'fox'} is missing (set NERFKIT_DATA)")


if __name__ == "__main__":
    main()
