from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import toy
import tyro
from toy_scene import write_scene

from nerfkit.cli import main, train
from nerfkit.cli.train_bar import describe
from nerfkit.errors import NerfkitError
from nerfkit.poses.claim import claim
from nerfkit.progress import duration
from nerfkit.train.checkpoint import list_newest_first, load
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit
from nerfkit.train.monitor import Status
from nerfkit.train.run import Run

ROOT = Path(__file__).parents[2]


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(Path(toy.__file__)), *map(str, arguments)]


def environment(**extra: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(ROOT)]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **extra}


def nerfkit(*arguments: object, **extra: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), env=environment(**extra), capture_output=True, text=True, timeout=120)


def train_arguments(scene: Path, out: Path) -> list[object]:
    return ["train", scene, "--out", out, "--model", "toy", "--steps", 60, "--downscale", 1, "--threads", 1]


def test_killed_and_resumed_gives_the_same_bytes(scene_folder: Path, tmp_path: Path) -> None:
    arguments = train_arguments(scene_folder, tmp_path / "run")
    killed = nerfkit(*arguments, TOY_KILL_AT="45")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert load(list_newest_first(tmp_path / "run/checkpoints")[0]).step == 42
    assert not (tmp_path / "run/metrics.json").exists()
    resumed = nerfkit(*arguments, "--resume", "--json")
    assert resumed.returncode == 0, resumed.stderr
    result = json.loads(resumed.stdout)
    assert result["run"] == str(tmp_path / "run")
    assert result["steps"] == 60
    assert result["eval"]["views"] == 2
    config = TrainConfig(scene_folder, model="toy", steps=60, downscale=1, threads=1)
    whole = fit(tmp_path / "whole", config)
    name = "step_000060.safetensors"
    assert (tmp_path / "run/checkpoints" / name).read_bytes() == (whole.checkpoints / name).read_bytes()
    assert json.loads(whole.metrics.read_text())["eval"] == result["eval"]


def test_eval_measures_what_training_measured(
    scene_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fit(tmp_path / "run", TrainConfig(scene_folder, model="toy", steps=10, downscale=1, threads=1))
    before = json.loads(run.metrics.read_text())
    run.metrics.unlink()
    assert main(["eval", str(run.path), "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    for key in ("eval", "steps", "parameters", "file_bytes", "weights"):
        assert result[key] == before[key]
    assert result["seconds"] == pytest.approx(before["seconds"], abs=0.1)
    assert json.loads(run.metrics.read_text())["eval"] == before["eval"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_ends_with_a_checkpoint_and_status_130(
    scene_folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    arguments = train_arguments(scene_folder, tmp_path / "run")
    arguments[arguments.index(60)] = 100_000
    process = subprocess.Popen(command(*arguments), env=environment(), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/log.jsonl").exists() and not list(tmp_path.glob("run/checkpoints/*")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(number)
    _, words = process.communicate(timeout=60)
    assert process.returncode == 130, words
    assert "--resume" in words
    assert "Traceback" not in words
    assert load(list_newest_first(tmp_path / "run/checkpoints")[0]).step > 0


def test_wrong_input_is_one_line_and_status_2(
    scene_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    for arguments, message in (
        (["train", str(tmp_path / "nowhere"), "--out", run], "nowhere: no such file or folder"),
        (["train", str(scene_folder), "--out", run, "--steps", "5", "--budget", "5s"], "give one of them"),
        (["train", str(scene_folder), "--out", run, "--resume"], "no such run"),
        (["train", str(scene_folder), "--out", run, "--model", "splines"], "no model 'splines'; choose one of"),
        (["eval", str(tmp_path)], "is no run"),
    ):
        assert main(arguments) == 2
        words = capsys.readouterr().err
        assert message in " ".join(words.split())
        assert "Traceback" not in words
        assert list(tmp_path.iterdir()) == []


def parse(*arguments: str) -> train.TrainOptions:
    return tyro.cli(train.Options, args=list(arguments))  # type: ignore[no-any-return]


def test_options_of_the_model_reach_the_config() -> None:
    options = parse("a/fox/images", "--budget", "3min", "--gaussians.cap", "7")
    config = train.config_of(options)
    assert (config.budget, config.model_options.cap, config.scene) == ("3min", 7, Path("a/fox/images"))
    assert train.run_folder(options) == Path("runs/fox/gaussians")
    assert train.run_folder(parse("a/fox/transforms.json")) == Path("runs/fox/gaussians")
    assert train.run_folder(parse("a/fox", "-o", "b")) == Path("b")


def test_options_of_another_model_are_not_passed_over() -> None:
    with pytest.raises(NerfkitError, match=r"--ngp\.batch: is for --model ngp, and this is --model gaussians; leave"):
        train.config_of(parse("fox", "--ngp.batch", "4096"))
    assert train.config_of(parse("fox", "--model", "ngp", "--ngp.batch", "4096")).model_options.batch == 4096


def test_a_run_of_another_scene_is_not_resumed(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", train.TrainConfig(tmp_path / "fox"))
    train.same_scene(tmp_path / "fox", run)
    train.same_scene(tmp_path / "run", run)
    with pytest.raises(NerfkitError, match=r"is a run of .*fox, not of .*lego; choose another --out"):
        train.same_scene(tmp_path / "lego", run)


def test_a_run_that_began_with_photos_is_of_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two folders may have the same name, and so the same default --out."""
    for name in ("a/fox/images", "b/fox"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    claim(Path("run/poses"), Path("a/fox/images"))
    run = Run(Path("run"), train.TrainConfig(Path("run/poses")))
    for given in ("a/fox", "a/fox/images", "run", "run/poses"):
        train.same_scene(Path(given), run)
    with pytest.raises(NerfkitError, match=r"is a run of .*a/fox/images, not of b/fox; choose another --out"):
        train.same_scene(Path("b/fox"), run)
    shutil.copytree("run", "deep/copy")
    moved = Run(Path("deep/copy"), run.config)
    assert moved.origin == Path("deep/copy/poses")
    train.same_scene(Path("a/fox"), moved)  # the mark leads nowhere now


def test_posed_scenes_are_taken_as_they_are(tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene", count=2)
    assert train.posed(scene, None, tmp_path / "out", SimpleNamespace()) == scene  # type: ignore[arg-type]


def test_a_capture_of_llff_trains(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scene = write_scene(tmp_path / "scene")
    rows = []
    for frame in json.loads((scene / "transforms.json").read_text())["frames"]:
        right, up, backwards, place = np.array(frame["transform_matrix"])[:3].T
        rows.append([*np.stack([-up, right, backwards, place, [16, 24, 30]], 1).ravel(), 1, 5])
    (scene / "transforms.json").unlink()
    np.save(scene / "poses_bounds.npy", np.array(rows))
    arguments = [str(scene), "--out", str(tmp_path / "run"), "--steps", "5", "--downscale", "1", "--device", "cpu"]
    assert main(["train", *arguments, "--json", "--quiet"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["model"], result["steps"], result["eval"]["views"]) == ("gaussians", 5, 2)
    assert {view.bounds is None for view in Run.open(tmp_path / "run").scene().views} == {False}
    assert train.run_folder(parse("a/fern/poses_bounds.npy")) == Path("runs/fern/gaussians")


def test_the_live_line() -> None:
    status = Status(10, 0.42, 20.0, 95.4, 61.25, 0.03125, {"photo": 0.03125}, {"gaussians": 41022, "psnr": 29.14})
    assert describe(status) == "42%  loss 0.0312  PSNR 29.1  61.2 it/s  41,022 gaussians  1:35 left"
    assert (duration(3725), duration(float("inf"))) == ("1:02:05", "?")
