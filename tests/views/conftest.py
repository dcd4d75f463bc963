from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nerfkit import models

sys.path.insert(0, str(Path(__file__).parent))
import world

from nerfkit.train import checkpoint
from nerfkit.train.config import TrainConfig
from nerfkit.train.run import Run


@pytest.fixture
def ball_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A finished run of the exact model: sixteen photos from all around, two of them held out."""
    table = dict(models.MODELS)
    world.register(table)
    monkeypatch.setattr(models, "MODELS", table)
    run = Run.create(tmp_path / "ball run", TrainConfig(tmp_path / "ball", model="ball", steps=1))
    scene = world.scene_of(world.ring(16), held_out=(0, 8), names=[f"a_{i:02d}" for i in range(16)])
    scene.save(run.path)
    checkpoint.save(run.checkpoints, checkpoint.Checkpoint("ball", 1, {"model": {}}))
    return run
