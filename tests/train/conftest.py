from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nerfkit import models

sys.path.insert(0, str(Path(__file__).parent))
import toy
from toy_scene import write_scene

torch.set_num_threads(1)  # tiny tensors: threads would only wait for each other


@pytest.fixture(autouse=True)
def toy_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(models, "MODELS", dict(models.MODELS))
    toy.register()
    return


@pytest.fixture(scope="session")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve little photos from a circle of cameras, whose colors change smoothly with pixel and camera."""
    return write_scene(tmp_path_factory.mktemp("scene"))
