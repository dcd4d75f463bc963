"""Whole runs on other render cores than nerfkit's own: they learn as much, from the same numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from core import stand_ins
from toy_scene import write_scene

from nerfkit import models
from nerfkit.contracts import RenderCore
from nerfkit.core import choose_core
from nerfkit.core.gsplat import GsplatCore
from nerfkit.core.tcnn import TcnnCore
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit
from nerfkit.train.run import Run

_FIELD = {"batch": 1024, "grid_cells": 32, "samples": 32, "width": 16}
SMALL = {
    "gaussians": {"cap": 300},
    "ngp": {**_FIELD, "log2_size": 8, "levels": 3, "distortion": 0.01},
    "nerf": {**_FIELD, "depth": 2, "frequencies": 3, "sampler": "grid"},  # by proposals it learns later
}
STEPS = 12


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scene(tmp_path_factory.mktemp("scene") / "scene", width=32, height=24)


def config(scene: Path, model: str, backend: str = "auto") -> TrainConfig:
    options = models.config_class(model)(**SMALL[model])
    return TrainConfig(
        scene, model=model, steps=STEPS, downscale=1, device="cpu", threads=1, backend=backend, model_options=options,
        eval_every=0,
    )  # fmt: skip


def losses(run: Run) -> list[float]:
    return [line["loss"] for line in run.log_lines() if "loss" in line]


@pytest.fixture(scope="module")
def own(scene: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[float]]:
    """The losses on nerfkit's own core, by model."""
    folder = tmp_path_factory.mktemp("own")
    return {model: losses(fit(folder / model, config(scene, model))) for model in SMALL}


@pytest.mark.parametrize("model", list(SMALL))
def test_the_reference_learns_what_nerfkits_own_core_does(
    model: str, scene: Path, tmp_path: Path, own: dict[str, list[float]]
) -> None:
    run = fit(tmp_path / "run", config(scene, model, "reference"))
    assert json.loads(run.metrics.read_text())["backend"] == "reference"
    got = losses(run)
    if model != "gaussians":  # whose first and last steps are before different colours
        assert sum(got[-4:]) < sum(got[:4])
    assert got == pytest.approx(own[model], rel=0.02)
    again = fit(run.path, TrainConfig(scene, model=model, steps=STEPS + 1, threads=1), resume=True)
    assert again.config.backend == json.loads(again.metrics.read_text())["backend"] == "reference"


@pytest.mark.parametrize(("model", "backend"), [("gaussians", "gsplat"), ("ngp", "tcnn"), ("nerf", "tcnn")])
def test_adapters_learn_what_nerfkits_own_core_does(
    model: str, backend: str, scene: Path, tmp_path: Path, own: dict[str, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU, over what stands for the packages."""
    if backend == "gsplat":
        stand_ins.gsplat_on_the_cpu(monkeypatch)
    monkeypatch.setitem(sys.modules, "tinycudann", stand_ins.tinycudann)
    kind = GsplatCore if backend == "gsplat" else TcnnCore

    def choose(device: str, backend: str) -> tuple[torch.device, RenderCore]:
        return torch.device(device), kind(choose_core())

    monkeypatch.setattr("nerfkit.train.fit.choose", choose)
    run = fit(tmp_path / "run", config(scene, model, backend))
    assert json.loads(run.metrics.read_text())["backend"] == backend
    assert losses(run) == pytest.approx(own[model], rel=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_without_its_library_auto_warns_and_nerfkit_refuses(scene: Path, tmp_path: Path) -> None:
    def train(backend: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nerfkit.cli", "train", str(scene), "--steps", "2", "--quiet"]
        command += ["--out", str(tmp_path / backend), "--backend", backend]
        environment = {**os.environ, "NERFKIT_ISA": "none"}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    refused, warned = train("nerfkit"), train("auto")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: libnerfkit_none.so is not built") and refused.stderr.count("\n") == 1
    assert warned.returncode == 0, warned.stderr
    assert warned.stderr.startswith("warning: libnerfkit_none.so is not built")
    assert warned.stderr.endswith("PyTorch's own operators do its work, which is slow\n")
    assert json.loads((tmp_path / "auto" / "metrics.json").read_text())["backend"] == "reference"
