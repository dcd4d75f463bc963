from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from painted import write_photos

from nerfkit import models
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit
from nerfkit.train.run import Run


@pytest.fixture(scope="session")
def painted_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 3D Gaussians, trained shortly on little photos."""
    folder = tmp_path_factory.mktemp("painted")
    options = models.config_class("gaussians")(cap=4000, sh_degree=2)
    config = TrainConfig(
        write_photos(folder / "scene"), model="gaussians", steps=40, eval_every=0, device="cpu", model_options=options
    )
    return fit(folder / "my run", config)
