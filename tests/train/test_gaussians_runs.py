"""Whole runs of the Gaussians model: what must hold of every run holds of the real one."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from toy_scene import write_scene

from nerfkit.models.gaussians.config import Config
from nerfkit.models.gaussians.model import Model
from nerfkit.train.checkpoint import list_newest_first, load
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit
from nerfkit.train.run import Run


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    scene = write_scene(tmp_path_factory.mktemp("gaussians") / "scene", width=48, height=32)
    return TrainConfig(scene, steps=30, downscale=1, device="cpu", threads=2, model_options=Config(cap=1000))


@pytest.fixture(scope="module")
def whole(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fit(tmp_path_factory.mktemp("gaussians") / "run", config)


def newest(run: Run) -> Path:
    return list_newest_first(run.checkpoints)[0]


def test_it_learns(whole: Run) -> None:
    metrics = json.loads(whole.metrics.read_text())
    assert metrics["model"] == "gaussians"
    assert metrics["gaussians"] > 0
    losses = [line["loss"] for line in whole.log_lines() if "loss" in line]
    assert sum(losses[-5:]) < sum(losses[:5])


def test_one_seed_and_thread_count_give_equal_bytes(whole: Run, config: TrainConfig, tmp_path: Path) -> None:
    assert newest(fit(tmp_path / "run", config)).read_bytes() == newest(whole).read_bytes()


def test_stopped_and_resumed_gives_equal_bytes(
    whole: Run, config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after_step = Model.after_step

    def stop_in_the_middle(model: Model, progress: float) -> None:
        after_step(model, progress)
        if progress >= 0.5:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Model, "after_step", stop_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            fit(tmp_path / "run", config)
    assert 0 < load(newest(Run.open(tmp_path / "run"))).step < 30
    assert newest(fit(tmp_path / "run", config, resume=True)).read_bytes() == newest(whole).read_bytes()
