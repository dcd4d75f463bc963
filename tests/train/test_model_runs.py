"""Whole runs of the real models: what must hold of every run holds of each of them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import forked
import pytest
import torch
from toy_scene import write_scene

from nerfkit import models
from nerfkit.contracts import SceneModel
from nerfkit.core import choose_core
from nerfkit.train.checkpoint import list_newest_first, load
from nerfkit.train.config import TrainConfig
from nerfkit.train.evaluate import evaluate
from nerfkit.train.fit import fit
from nerfkit.train.run import Run

_GRID = {"batch": 8192, "grid_cells": 32, "samples": 64}
_NERF = {**_GRID, "depth": 2, "width": 32, "frequencies": 4}
SMALL = {  # a model's name, and of which preset
    "gaussians": {"cap": 1000},
    "gaussians on surfaces": {"cap": 1000, "geometry": True, "geometry_share": 1.0},
    "ngp": {**_GRID, "log2_size": 8, "levels": 4, "appearance": 2, "exposure": "on"},
    "nerf": _NERF,
    "nerf paper": {**_NERF, "preset": "paper", "coarse": 16, "fine": 16, "skip": 1, "lr": 5e-3},
}

OPAQUE, TRANSPARENT = ([(name, alpha) for name in SMALL] for alpha in (False, True))  # photos


@pytest.fixture(scope="module", params=OPAQUE + TRANSPARENT, ids=str)
def config(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    name, alpha = request.param
    scene = write_scene(tmp_path_factory.mktemp(name) / "scene", width=48, height=32, alpha=alpha)
    model = name.split()[0]
    options = models.config_class(model)(**SMALL[name])
    return TrainConfig(scene, model=model, steps=30, downscale=1, device="cpu", threads=2, model_options=options)


@pytest.fixture(scope="module")
def whole(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit(tmp_path_factory.mktemp("whole") / "run", config)


def newest(run: Run) -> Path:
    return list_newest_first(run.checkpoints)[0]


def test_every_model_is_tested() -> None:
    assert {name.split()[0] for name in SMALL} == models.MODELS.keys() - {"toy"}  # that one is the tests' own


def test_it_learns(whole: Run) -> None:
    metrics = json.loads(whole.metrics.read_text())
    assert metrics["model"] == whole.config.model
    assert metrics["parameters"] > 0
    scene = whole.scene()
    if whole.config.model == "gaussians" and not scene.has_alpha:  # its losses are before other colours in the end
        options = whole.config.model_options
        untrained = models.model_class("gaussians").create(options, scene, choose_core(), torch.device("cpu"))
        before = evaluate(untrained, [scene.views[index] for index in scene.held_out])
        assert metrics["eval"]["psnr"] > before["psnr"] + 1 and metrics["eval"]["ssim"] > before["ssim"]
    else:
        # those for surfaces begin later: what Gaussians learn of the photos is told apart
        losses = [line.get("photo", line["loss"]) for line in whole.log_lines() if "loss" in line]
        assert sum(losses[-5:]) < sum(losses[:5])


def ending(after_step: Callable[..., None], share: float, number: signal.Signals) -> Callable[..., None]:
    """A model's ``after_step`` that sends its process a signal once this share of the run is done."""

    def step(model: SceneModel, progress: float) -> None:
        after_step(model, progress)
        if progress >= share:
            os.kill(os.getpid(), number)

    return step


def test_stopped_and_resumed_gives_equal_bytes(
    whole: Run, config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so does, of one seed and thread count, what it did until then."""
    model_class = models.model_class(config.model)
    with monkeypatch.context() as patched:
        patched.setattr(model_class, "after_step", ending(model_class.after_step, 0.5, signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "run", config)
    assert 0 < load(newest(Run.open(tmp_path / "run"))).step < 30
    assert newest(fit(tmp_path / "run", config, resume=True)).read_bytes() == newest(whole).read_bytes()


def dies(config: TrainConfig, folder: Path) -> None:
    model_class = models.model_class(config.model)
    model_class.after_step = ending(model_class.after_step, 0.7, signal.SIGKILL)  # type: ignore[method-assign]
    fit(folder, config)


@pytest.mark.parametrize("config", OPAQUE, indirect=True, ids=str)  # what is kept of the others, stopping shows
def test_killed_and_resumed_gives_equal_bytes(whole: Run, config: TrainConfig, tmp_path: Path) -> None:
    assert forked.run(dies, config, tmp_path / "run") == (-signal.SIGKILL, None)
    assert 0 < load(newest(Run.open(tmp_path / "run"))).step < 30
    assert newest(fit(tmp_path / "run", config, resume=True)).read_bytes() == newest(whole).read_bytes()
