"""nerfkit on a GPU: its operators beside their peers and below the hardware's ceilings, the kernels of its training
steps, and whole trainings.

    make gpu-bench                                        # or, where the libraries are built:
    python scripts/gpu_bench.py [--scene photos/lego] [--only adam] [--out folder]
    python scripts/gpu_bench.py --device cpu --small      # that the script works, without a GPU

Times are medians of runs in which all sides take turns. Each case is on its own: one that fails, or takes too long, is
told of at the end and by the exit status. With --out, `bench.json` and `bench.md` there hold everything.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import time
from pathlib import Path

import torch
from gpu import isolate, kernels, operators, roofline, training
from gpu.context import Context
from gpu.tables import Tables

MODELS = ("gaussians", "ngp", "nerf")
# In the order of what should be known first. Seconds are those that each may take.
CASES: dict[str, tuple[isolate.Case, float]] = {
    "ceilings": (roofline.ceilings_case, 60),
    "rasterizing": (operators.rasterizing, 90),
    "encoding": (operators.encoding, 60),
    "adam": (operators.optimizing, 30),
    "similarity": (operators.similarity, 30),
    "marching": (operators.marching, 30),
    "kernels of a million": (kernels.million, 60),
    **{f"training {name}": (functools.partial(training.bundled, model=name), 90) for name in MODELS},
    **{f"kernels of {name}": (functools.partial(training.steps, model_name=name), 90) for name in MODELS},
    "trained scene": (training.trained_scene, 90),
}
OWN = {
    f"training {name} on --scene": (functools.partial(training.own, model=name), 90) for name in ("ngp", "gaussians")
}


def main() -> int:
    options = parse()
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit(
            f"gpu_bench.py: the torch of {sys.executable} sees no GPU; whether the script works: --device cpu --small"
        )
    names = options.only or [*CASES, *(OWN if options.scene else ())]
    cases, limits = {**CASES, **OWN}, {name: limit for name, (_, limit) in {**CASES, **OWN}.items()}
    own_seconds = {"gaussians": options.own_seconds, "ngp": options.own_seconds / 2}
    for model, seconds in own_seconds.items():
        limits[f"training {model} on --scene"] += 1.5 * seconds
    faults: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        context = Context(
            options.device, options.small, options.rounds, options.runs or Path(folder), options.scene,
            options.seconds, own_seconds,
        )  # fmt: skip
        tables = Tables(about(context), options.out)
        print(", ".join(f"{key} {value}" for key, value in tables.about.items()), flush=True)
        start = time.monotonic()
        functions = {name: case for name, (case, _) in cases.items()}
        for kind, name, what in isolate.run(functions, names, context, limits):
            if kind == "row":
                tables.add(*what)
            elif kind == "fault":
                faults[name] = what
                tables.add("Faults", {"case": name, "fault": what})
            else:
                print(f"({name}: {what:.1f} s)", file=sys.stderr, flush=True)
    rows = [row for table in tables.rows.values() for row in table]
    failed = sorted({*faults, *(f"{row['case']}, {row['side']}" for row in rows if row.get("side") and row["fault"])})
    print(f"\n{len(names)} cases in {time.monotonic() - start:.0f} s; failed: {'; '.join(failed) or 'none'}")
    return 1 if failed else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="sizes of which even a CPU is capable")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", choices=(*CASES, *OWN), action="append", help="some of the cases")
    parser.add_argument("--scene", type=Path, help="a scene to train Gaussians and NGP on, beside the bundled one")
    parser.add_argument("--seconds", type=float, default=15, help="of a training of the bundled scene")
    parser.add_argument("--own-seconds", type=float, default=90,
                        help="of training Gaussians on --scene; NGP gets half of it")  # fmt: skip
    parser.add_argument("--runs", type=Path, help="folder that keeps what is trained; runs that are there are taken")
    parser.add_argument("--out", type=Path, help="folder for bench.json and bench.md")
    return parser.parse_args()


def about(context: Context) -> dict[str, str]:
    cuda = context.device.type == "cuda"
    place = torch.cuda.get_device_name(context.device) if cuda else f"{torch.get_num_threads()} threads of a CPU"
    return {"device": place, "torch": torch.__version__, "CUDA": str(torch.version.cuda), "rounds": str(context.rounds)}


if __name__ == "__main__":
    sys.exit(main())
