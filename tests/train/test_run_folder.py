"""A run's folder in the wrong hands: two trainings at once, what is trained already, damaged or misplaced."""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nerfkit.cli import main
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.lock import alone
from nerfkit.train.checkpoint import list_newest_first, load
from nerfkit.train.config import TrainConfig
from nerfkit.train.evaluate import write_metrics
from nerfkit.train.fit import fit
from nerfkit.train.run import Run


@pytest.fixture
def config(scene_folder: Path) -> TrainConfig:
    return TrainConfig(scene_folder, model="toy", steps=10, device="cpu", downscale=1, threads=1, eval_every=0.0)


@pytest.fixture
def run(config: TrainConfig, tmp_path: Path) -> Run:
    return fit(tmp_path / "run", config)


def told(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    return " ".join(capsys.readouterr().err.split())


def test_two_trainings_in_one_folder_are_one_too_many(run: Run, config: TrainConfig, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    with alone(run.path):
        for words in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(NerfkitError, match="run: another nerfkit is at work there; wait until it has ended"):
                fit(run.path, replace(config, steps=20), **words)
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before
    assert fit(run.path, replace(config, steps=20), resume=True).config.steps == 20


def test_whoever_is_refused_is_so_before_photos_are_read(
    run: Run, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def preload(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(Scene, "preload", preload)
    with alone(run.path), pytest.raises(NerfkitError, match="another nerfkit is at work there"):
        fit(run.path, replace(config, steps=20), resume=True)


def test_what_can_not_be_trained_leaves_no_folder(config: TrainConfig, tmp_path: Path) -> None:
    for resume, scene in ((False, tmp_path / "none"), (True, config.scene)):
        with pytest.raises(NerfkitError, match=r"none: no such|new: no such run"):
            fit(tmp_path / "new", replace(config, scene=scene), resume=resume)
        assert not (tmp_path / "new").exists()


def test_two_that_begin_at_once(config: TrainConfig, tmp_path: Path) -> None:
    with alone(tmp_path / "new"), pytest.raises(NerfkitError, match="another nerfkit is at work there"):
        fit(tmp_path / "new", config)
    assert list((tmp_path / "new").iterdir()) == []


def test_a_finished_run_says_so(run: Run, config: TrainConfig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "nerfkit"):
        fit(run.path, config, resume=True)
    assert "run: is trained already (10 steps, 0 s), so it is only measured anew" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "nerfkit"):
        fit(run.path, replace(config, steps=12), resume=True)
    assert "trained already" not in caplog.text


@pytest.mark.parametrize("length", [{"steps": 5}, {"steps": None, "budget": "1s"}])
def test_no_run_becomes_shorter(run: Run, config: TrainConfig, length: dict[str, Any]) -> None:
    """Its config would tell of fewer steps than it has had."""
    if "budget" in length:  # as if those steps had taken a minute
        lines = [{**line, "seconds": 60.0} for line in run.log_lines()]
        run.log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(NerfkitError, match=r"run: is trained for longer than --\w+ \w+ already \(10 steps, \d+ s\)"):
        fit(run.path, replace(config, **length), resume=True)
    assert Run.open(run.path).config == run.config
    assert load(list_newest_first(run.checkpoints)[0]).step == 10


def test_lines_that_are_no_log_are_passed_over(run: Run, config: TrainConfig) -> None:
    count = len(list(run.log_lines()))
    with run.log.open("a") as file:
        file.write('[1]\nnull\n{"a": 1}\n{"step": "x"}\n{"step": 10')
    assert len(list(run.log_lines())) == count
    assert fit(run.path, replace(config, steps=12), resume=True).config.steps == 12


def test_a_run_that_lost_its_log_keeps_its_figures(run: Run) -> None:
    known = json.loads(run.metrics.read_text())
    run.log.unlink()
    scene = run.scene()
    again = write_metrics(run, run.model(scene=scene), scene, "nerfkit", "cpu")
    assert (again["steps"], again["seconds"]) == (10, known["seconds"])


def test_lost_points_are_named(run: Run) -> None:
    (run.path / "points.safetensors").write_bytes(b"")
    with pytest.raises(NerfkitError, match=r"points\.safetensors: missing or damaged"):
        run.scene()


def test_a_place_below_a_file(run: Run, config: TrainConfig) -> None:
    with pytest.raises(NerfkitError, match=r"run: .*log\.jsonl is a file, not a folder"):
        fit(run.log / "run", config)


def test_a_run_is_no_scene(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = f"{run.path}: is a run, not a scene; go on with it by --resume, or train on its scene: {run.config.scene}"
    assert words in told(capsys, "train", run.path, "-o", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_going_on_and_beginning_anew_at_once(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert "give one of them" in told(capsys, "train", run.path, "--resume", "--overwrite")


def test_a_moved_run_goes_on(run: Run, config: TrainConfig, tmp_path: Path) -> None:
    shutil.move(run.path, tmp_path / "deep/er/moved")
    moved = fit(tmp_path / "deep/er/moved", replace(config, steps=12), resume=True)
    assert json.loads(moved.metrics.read_text())["steps"] == 12


def test_a_run_is_finished_where_its_training_came_to_its_end(run: Run, config: TrainConfig) -> None:
    assert run.finished
    scene = run.scene()
    write_metrics(run, run.model(scene=scene), scene, "nerfkit", "cpu")
    assert run.finished
    fit(run.path, replace(config, steps=12), resume=True)
    assert run.finished
    stopped = list_newest_first(run.checkpoints)[0]
    stopped.rename(stopped.with_name("step_000013.safetensors"))  # of a training that was interrupted there
    assert not run.finished
    write_metrics(run, run.model(scene=scene), scene, "nerfkit", "cpu")
    assert not run.finished and not json.loads(run.metrics.read_text())["finished"]
    run.metrics.unlink()
    assert not run.finished


def test_a_run_tells_its_scene_from_everywhere(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(config.scene.parent)
    run = fit(tmp_path / "run", replace(config, scene=Path(config.scene.name)))
    monkeypatch.chdir(tmp_path)
    assert Run.open(run.path).config.scene == config.scene == run.config.scene


def test_photos_that_are_gone_are_named(config: TrainConfig, tmp_path: Path) -> None:
    shutil.copytree(config.scene, tmp_path / "scene")
    run = fit(tmp_path / "run", replace(config, scene=tmp_path / "scene"))
    os.rename(tmp_path / "scene/images", tmp_path / "away")
    with pytest.raises(NerfkitError, match=r"images/001\.png: cannot be read .*put the photo back"):
        fit(run.path, replace(config, scene=tmp_path / "scene", steps=12), resume=True)
    assert Run.open(run.path).config.steps == 10
