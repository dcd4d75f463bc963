from __future__ import annotations

import json
import logging
import math
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import pytest
import torch
import toy
from toy_scene import write_scene

from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.train.checkpoint import list_newest_first, load
from nerfkit.train.config import TrainConfig
from nerfkit.train.evaluate import evaluate, ground_truth
from nerfkit.train.fit import fit
from nerfkit.train.monitor import Status
from nerfkit.train.run import Run


def config(scene: Path, **changes: Any) -> TrainConfig:
    base = TrainConfig(scene, model="toy", steps=60, hold_out_every=4, device="cpu", downscale=1, threads=1)
    return replace(base, **changes)


def newest(run: Run) -> Path:
    return list_newest_first(run.checkpoints)[0]


def test_a_whole_run_by_steps(scene_folder: Path, tmp_path: Path) -> None:
    seen: list[Status] = []
    run = fit(tmp_path / "run", config(scene_folder, steps=300), monitor=seen.append)
    assert [path.name for path in list_newest_first(run.checkpoints)] == [
        "step_000300.safetensors",
        "step_000270.safetensors",
    ]
    metrics = json.loads(run.metrics.read_text())
    assert set(metrics) == {
        "model", "backend", "device", "steps", "seconds", "finished", "parameters", "file_bytes", "peak_memory_bytes",
        "eval", "weights",
    }  # fmt: skip
    assert metrics["steps"] == 300 and metrics["finished"]
    assert 0 < metrics["seconds"] < 60
    assert metrics["model"] == "toy"
    assert metrics["parameters"] == metrics["weights"] == 3 * 18
    assert metrics["file_bytes"] == newest(run).stat().st_size
    assert metrics["peak_memory_bytes"] > 10e6
    assert metrics["eval"]["views"] == 3
    assert metrics["eval"]["psnr"] > 12
    assert sorted(path.name for path in run.eval.iterdir()) == sorted(
        ["scores.json", *(f"{index}{kind}.png" for index in ("000", "004", "008") for kind in ("", ".truth"))]
    )
    assert iio.imread(run.eval / "004.truth.png").tolist() == iio.imread(scene_folder / "images/004.png").tolist()
    lines = list(run.log_lines())
    assert [line["progress"] for line in lines if "eval" in line] == [0.25, 0.5, 0.75]
    steps = [line for line in lines if "eval" not in line]
    assert len(steps) >= 100
    assert steps[-1]["step"] == 300
    assert set(steps[0]) >= {"step", "progress", "seconds", "loss", "mse", "size", "psnr", "it_per_s", "weights"}
    assert steps[0]["loss"] == pytest.approx(steps[0]["mse"] + steps[0]["size"])
    assert steps[-1]["loss"] < steps[0]["loss"] / 2
    assert Run.open(run.path).config == run.config
    assert run.report.is_file()
    reopened = Run.open(run.path).model()
    assert torch.equal(reopened.weights, load(newest(run)).state["model"]["weights"])  # type: ignore[attr-defined]


def test_a_whole_run_by_time(scene_folder: Path, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", config(scene_folder, steps=None, budget="1.5s"))
    metrics = json.loads(run.metrics.read_text())
    assert 1.5 <= metrics["seconds"] < 2.5
    assert metrics["steps"] > 50
    assert metrics["weights"] == 3 * 18  # it grew: the schedule reached the second half
    assert next(round(line["progress"], 1) for line in run.log_lines() if "eval" in line) == pytest.approx(0.3, abs=0.1)


def test_one_seed_gives_equal_bytes(scene_folder: Path, tmp_path: Path) -> None:
    first = fit(tmp_path / "a", config(scene_folder, seed=3))
    torch.rand(7)  # whatever happened before in the process
    second = fit(tmp_path / "b", config(scene_folder, seed=3, eval_every=0.0, checkpoint_every=0.5))
    other = fit(tmp_path / "c", config(scene_folder, seed=4))
    assert newest(first).read_bytes() == newest(second).read_bytes()
    assert newest(first).read_bytes() != newest(other).read_bytes()


def stop_at(step: int) -> Any:
    """A monitor that stops the run the way Ctrl-C does."""

    def monitor(status: Status) -> None:
        if status.step >= step:
            os.kill(os.getpid(), signal.SIGINT)

    return monitor


def test_ctrl_c_ends_with_a_checkpoint_and_resume_gives_the_same_bytes(scene_folder: Path, tmp_path: Path) -> None:
    slow = toy.Config(pause=0.01)
    whole = fit(tmp_path / "whole", config(scene_folder, model_options=slow))
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "stopped", config(scene_folder, model_options=slow), monitor=stop_at(5))
    stopped = Run.open(tmp_path / "stopped")
    step = load(newest(stopped)).step
    assert 5 <= step < 60
    assert not stopped.metrics.exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = fit(tmp_path / "stopped", config(scene_folder), resume=True)
    assert newest(resumed).read_bytes() == newest(whole).read_bytes()
    lines = [line for line in resumed.log_lines() if "eval" not in line]
    assert [line["step"] for line in lines] == sorted(line["step"] for line in lines)
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)


def test_the_budget_goes_on_where_it_stopped(scene_folder: Path, tmp_path: Path) -> None:
    timed = config(scene_folder, steps=None, budget="2s", model_options=toy.Config(pause=0.01))
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run", timed, monitor=stop_at(50))
    before = max(line["seconds"] for line in Run.open(tmp_path / "run").log_lines())
    start = time.monotonic()
    run = fit(tmp_path / "run", timed, resume=True)
    assert json.loads(run.metrics.read_text())["seconds"] == pytest.approx(2, abs=0.5)
    assert time.monotonic() - start < 2 - before + 1


def test_training_in_a_thread_leaves_signals_alone(scene_folder: Path, tmp_path: Path) -> None:
    thread = threading.Thread(target=fit, args=(tmp_path / "run", config(scene_folder)))
    thread.start()
    thread.join()
    assert (tmp_path / "run/metrics.json").is_file()


def test_a_finished_run_resumes_to_more_steps(scene_folder: Path, tmp_path: Path) -> None:
    fit(tmp_path / "run", config(scene_folder))
    run = fit(tmp_path / "run", config(scene_folder, steps=90), resume=True)
    assert load(newest(run)).step == 90
    assert Run.open(run.path).config.steps == 90


def test_a_resumed_run_keeps_what_it_is(scene_folder: Path, tmp_path: Path) -> None:
    fit(tmp_path / "run", config(scene_folder, seed=3))
    fit(tmp_path / "run", config(scene_folder, seed=3), resume=True)
    for changes, option in (
        ({"seed": 4}, "--seed"),
        ({"hold_out_every": 5}, "--hold-out-every"),
        ({"model_options": toy.Config(learning_rate=1.0)}, "--toy.learning-rate"),
        ({"model": "ngp", "model_options": None}, "--model"),
    ):
        with pytest.raises(NerfkitError, match=f"a resumed run keeps its {option}; leave it out"):
            fit(tmp_path / "run", config(scene_folder, **changes), resume=True)  # type: ignore[arg-type]


def test_some_of_a_runs_own_options_may_be_given_again(scene_folder: Path, tmp_path: Path) -> None:
    fit(tmp_path / "run", config(scene_folder, model_options=toy.Config(learning_rate=0.02, nan_at=(1,))))
    again = config(scene_folder, steps=90, model_options=toy.Config(learning_rate=0.02))
    kept = Run.open(tmp_path / "run").resumed(again).config
    assert (kept.steps, kept.model_options.learning_rate, kept.model_options.nan_at) == (90, 0.02, (1,))


def test_resume_before_the_first_checkpoint_starts_again(
    scene_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = fit(tmp_path / "run", config(scene_folder))
    expected = newest(run).read_bytes()
    for path in list_newest_first(run.checkpoints):
        path.unlink()
    with caplog.at_level(logging.WARNING, "nerfkit"):
        fit(tmp_path / "run", config(scene_folder), resume=True)
    assert "stopped before its first checkpoint; starting from the beginning" in caplog.text
    assert newest(run).read_bytes() == expected
    assert sum(line["step"] == 60 for line in run.log_lines()) <= 2


def test_resume_from_a_truncated_checkpoint_uses_the_one_before(
    scene_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = fit(tmp_path / "run", config(scene_folder))
    expected = newest(run).read_bytes()
    newest(run).write_bytes(expected[:-100])
    with caplog.at_level(logging.WARNING, "nerfkit"):
        fit(tmp_path / "run", config(scene_folder), resume=True)
    assert "truncated or damaged checkpoint" in caplog.text
    assert newest(run).read_bytes() == expected


def test_a_few_bad_losses_are_skipped(scene_folder: Path, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", config(scene_folder, model_options=toy.Config(nan_at=(0, 7, 8, 30, 59))))
    weights = load(newest(run)).state["model"]["weights"]
    assert bool(torch.isfinite(weights).all())
    assert json.loads(run.metrics.read_text())["eval"]["psnr"] > 5


def test_a_broken_model_goes_back_to_its_checkpoint(
    scene_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "nerfkit"):
        run = fit(tmp_path / "run", config(scene_folder, model_options=toy.Config(break_at=20)))
    assert "diverged at step 24" in caplog.text
    assert "going on with the model of step 18" in caplog.text
    assert bool(torch.isfinite(load(newest(run)).state["model"]["weights"]).all())


def test_a_broken_model_is_never_saved(scene_folder: Path, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", config(scene_folder, model_options=toy.Config(break_at=60)))
    assert bool(torch.isfinite(load(newest(run)).state["model"]["weights"]).all())


def test_divergence_without_a_checkpoint_stops(scene_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match=r"training diverged at step 4 \(the loss is not a finite number\); try"):
        fit(tmp_path / "run", config(scene_folder, model_options=toy.Config(nan_at=tuple(range(60)))))
    with pytest.raises(NerfkitError, match="training diverged"):
        fit(tmp_path / "late", config(scene_folder, model_options=toy.Config(nan_at=tuple(range(20, 60)))))
    late = load(newest(Run.open(tmp_path / "late")))
    assert late.step < 60
    assert bool(torch.isfinite(late.state["model"]["weights"]).all())


def test_existing_folders(scene_folder: Path, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", config(scene_folder))
    with pytest.raises(NerfkitError, match="already holds a run; go on with it"):
        fit(tmp_path / "run", config(scene_folder))
    (tmp_path / "run/mine.txt").write_text("kept")
    run.mesh_stages.mkdir()
    assert fit(tmp_path / "run", config(scene_folder, steps=5), overwrite=True).config.steps == 5
    assert (tmp_path / "run/mine.txt").read_text() == "kept" and not run.mesh_stages.exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/thesis.tex").write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(NerfkitError, match=r"is not a run \(it holds thesis\.tex\)"):
            fit(tmp_path / "other", config(scene_folder), overwrite=overwrite)
    with pytest.raises(NerfkitError, match="is a file, not a folder"):
        fit(tmp_path / "other/thesis.tex", config(scene_folder))
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_nothing_is_written_for_wrong_input(scene_folder: Path, tmp_path: Path) -> None:
    for wrong in (
        config(tmp_path / "nowhere"),
        config(scene_folder, device="tpu"),
        config(scene_folder, device="cuda:77"),
        config(scene_folder, backend="magic"),
        config(scene_folder, steps=-1),
    ):
        with pytest.raises(NerfkitError):
            fit(tmp_path / "run", wrong)
        assert not (tmp_path / "run").exists()


def test_resume_needs_a_run(scene_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match="no such run; give the folder that nerfkit train --out made"):
        fit(tmp_path / "run", config(scene_folder), resume=True)
    with pytest.raises(NerfkitError, match="is no run"):
        Run.open(tmp_path)


def test_no_views_held_out(scene_folder: Path, tmp_path: Path) -> None:
    run = fit(tmp_path / "run", config(scene_folder, hold_out_every=0))
    assert json.loads(run.metrics.read_text())["eval"] == {
        "views": 0, "psnr": None, "color_matched_psnr": None, "ssim": None, "lpips": None,
    }  # fmt: skip


def test_alpha_is_laid_over_the_models_background(tmp_path: Path) -> None:
    scene = Scene.load(write_scene(tmp_path / "scene", alpha=True))
    model = toy.Model(toy.Config(), scene)
    model.background = torch.tensor([1.0, 0.0, 0.5])
    truth = ground_truth(model, scene.views[1])
    assert torch.allclose(truth[:, 0], torch.tensor([1.0, 0.0, 0.5]).expand(16, 3), atol=1e-6)
    assert torch.equal(truth[:, -1], scene.views[1].image()[:, -1] / 255)
    del model.background
    assert float(ground_truth(model, scene.views[1])[:, 0].max()) == 0


def test_scores_are_those_of_the_saved_pictures(scene_folder: Path, tmp_path: Path) -> None:
    scene = Scene.load(scene_folder)
    model = toy.Model(toy.Config(), scene)
    scores = evaluate(model, [scene.views[1]], tmp_path)
    render, truth = (iio.imread(tmp_path / name) / 255 for name in ("001.png", "001.truth.png"))
    assert scores["psnr"] == pytest.approx(-10 * math.log10(((render - truth) ** 2).mean()), abs=1e-4)


def test_names_with_dots_keep_apart(scene_folder: Path, tmp_path: Path) -> None:
    scene = Scene.load(scene_folder)
    model = toy.Model(toy.Config(), scene)
    views = [replace(view, name=f"walk.{index}") for index, view in enumerate(scene.views[:2])]
    evaluate(model, views, tmp_path)
    assert len(list(tmp_path.iterdir())) == 4
