"""What the scene decides on is in the run's config, which says what was done."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nerfkit.errors import NerfkitError
from nerfkit.models.gaussians.config import Config
from nerfkit.train.checkpoint import list_newest_first, load
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit
from nerfkit.train.run import Run

LEAST_CAP = 60_000  # on a CPU, of photos as small as these


@pytest.fixture(scope="module")
def config(scene_folder: Path) -> TrainConfig:
    return TrainConfig(scene_folder, steps=2, device="cpu", downscale=1, threads=1, eval_every=0.0)


@pytest.fixture
def run(config: TrainConfig, tmp_path: Path) -> Run:
    return fit(tmp_path / "run", config)


def cap_of(run: Run) -> tuple[int | None, int]:
    """In the config and in the newest checkpoint."""
    state = load(list_newest_first(run.checkpoints)[0]).state["model"]
    return Run.open(run.path).config.model_options.cap, state["cap"]


def test_the_chosen_cap_is_in_the_config(run: Run) -> None:
    assert f"cap = {LEAST_CAP}\n" in (run.path / "config.toml").read_text()
    assert cap_of(run) == (LEAST_CAP, LEAST_CAP)
    assert run.config == Run.open(run.path).config


def test_a_resumed_run_keeps_it(run: Run, config: TrainConfig) -> None:
    for steps, options in enumerate((Config(), Config(cap=LEAST_CAP)), 3):
        resumed = fit(run.path, replace(config, steps=steps, model_options=options), resume=True)
        assert cap_of(resumed) == (LEAST_CAP, LEAST_CAP)
    with pytest.raises(NerfkitError, match=r"a resumed run keeps its --gaussians\.cap; leave it out"):
        fit(run.path, replace(config, steps=9, model_options=Config(cap=LEAST_CAP - 1)), resume=True)


def test_a_run_whose_config_lacks_it_goes_on(config: TrainConfig, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", replace(config, model_options=Config(cap=70_000)))
    file = run.path / "config.toml"
    file.write_text(re.sub(r"cap = \d+\n", "", file.read_text()))
    assert Run.open(run.path).model() is not None
    resumed = fit(run.path, replace(config, steps=3), resume=True)
    assert cap_of(resumed) == (None, 70_000)  # not another than it was trained with
