from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import little

from nerfkit.train.run import Run


@pytest.fixture(autouse=True, scope="session")
def viewer_package() -> None:
    pytest.importorskip("viser", reason="needs the viewer's package: pip install nerfkit[viewer]")


@pytest.fixture(scope="session")
def little_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of 400 Gaussians; tests leave its model alone."""
    return little.make_run(tmp_path_factory.mktemp("little"))


@pytest.fixture(scope="session")
def vivid_run(little_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same with three coloured balls."""
    return little.make_vivid(little_run, tmp_path_factory.mktemp("vivid") / "run")


@pytest.fixture(scope="session")
def little_scene(little_run: Run) -> Path:
    return little_run.config.scene
