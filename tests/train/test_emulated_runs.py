"""Whole runs on the CUDA kernels, emulated: every model learns from them what it learns from the CPU's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from core.emulated import build, environment
from toy_scene import write_scene

from nerfkit import models
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit

pytestmark = [pytest.mark.cpu_only, pytest.mark.slow]
_FIELD = {"batch": 1024, "grid_cells": 32, "samples": 32, "width": 16}
SMALL = {
    "gaussians": {"cap": 300, "sparse_adam": True},
    "ngp": {**_FIELD, "log2_size": 8, "levels": 3, "distortion": 0.01},
    "nerf": {**_FIELD, "depth": 2, "frequencies": 3},
}
STEPS = {"gaussians": 10, "ngp": 5, "nerf": 5}
# Operators are tested on both kinds; for what their order in a run does to memory one of them is enough.
RUNS = [
    ("gaussians", "races"), ("ngp", "emulated"), ("nerf", "races"),
    *(pytest.param(model, "ptx", marks=pytest.mark.ptx) for model in SMALL),
]  # fmt: skip
_TRAINS = """
import json, sys
from pathlib import Path
sys.path[:0] = json.loads(sys.argv[3])
from test_emulated_runs import losses
print(json.dumps(losses(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[4])))
"""


def losses(scene: Path, out: Path, model: str) -> list[float]:
    """Of a run of a few steps, densification and evaluation with it."""
    options = models.config_class(model)(**SMALL[model])
    config = TrainConfig(
        scene, model=model, steps=STEPS[model], downscale=1, device="cpu", threads=1, model_options=options,
        eval_every=0,
    )  # fmt: skip
    return [line["loss"] for line in fit(out, config).log_lines() if "loss" in line]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene") / "scene", count=8, width=24, height=16)


@pytest.mark.parametrize(("model", "kind"), RUNS)
def test_models_learn_the_same_from_the_kernels_of_a_gpu(model: str, kind: str, scene: Path, tmp_path: Path) -> None:
    build(kind)
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    done = subprocess.run(
        [sys.executable, "-c", _TRAINS, str(scene), str(tmp_path / "emulated"), json.dumps(folders), model],
        env=environment(kind), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    got = json.loads(done.stdout.splitlines()[-1])
    assert got == pytest.approx(losses(scene, tmp_path / "cpu", model), rel=0.01)
    assert len(got) == STEPS[model]
