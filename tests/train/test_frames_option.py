"""``--frames`` where it can do nothing: said in words, not passed over."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from test_cli_train import nerfkit, train_arguments

sys.path.insert(0, str(Path(__file__).parents[1] / "capture"))
from films import encode, glide, texture

from nerfkit.cli import main
from nerfkit.poses import PoseOptions, source
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return encode(tmp_path / "walk.mp4", glide(texture(1), [9.0 * step for step in range(40)]))


@pytest.fixture
def run(scene_folder: Path, film: Path, tmp_path: Path) -> Path:
    """A finished run as one of 10 frames of the video leaves it: the poses are the toy scene's, the frames real."""
    out = tmp_path / "run"
    shutil.copytree(scene_folder, out / "poses")
    source.photos_of(film, out / "poses", PoseOptions(frames=10), lambda *_: None, lambda *_: None)
    (out / "poses" / "poses.json").write_text("{}")
    fit(out, TrainConfig(out / "poses", model="toy", steps=60, downscale=1, threads=1))
    return out


@pytest.mark.parametrize("verb", ["train", "run"])
def test_other_frames_than_the_run_began_with(verb: str, film: Path, run: Path) -> None:
    before = sorted(run.rglob("*"))
    resume = ["--resume"] if verb == "train" else ["--downscale", 1]
    done = nerfkit(verb, film, "--out", run, "--model", "toy", *resume, "--frames", 20)
    assert done.returncode == 2, done.stderr
    words = " ".join(done.stderr.split())
    assert words.startswith(f"error: {run}: was begun with other frames than --frames 20 takes; leave it out")
    assert words.endswith(f"begin anew: nerfkit train {film} --out {run} --frames 20 --overwrite")
    assert sorted(run.rglob("*")) == before


def test_the_same_frames_go_on(film: Path, run: Path) -> None:
    done = nerfkit(*train_arguments(film, run), "--resume", "--frames", 10)
    assert done.returncode == 0, done.stderr
    assert "newer" not in done.stderr


def test_poses_that_were_found_anew_are_told(film: Path, run: Path) -> None:
    later = (run / "scene.json").stat().st_mtime + 5
    os.utime(run / "poses" / "poses.json", (later, later))
    done = nerfkit(*train_arguments(film, run), "--resume")
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stderr.split())
    assert f"warning: {run / 'poses'}: these poses are newer than the run in {run}, which keeps those" in words
    assert f"nerfkit train {run / 'poses'} --out OTHER" in words


def test_what_is_no_video_has_no_frames(
    scene_folder: Path, still_life: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    for verb, given, message in (
        ("poses", still_life / "photos", "photos: a folder has no frames to choose from"),
        ("train", still_life / "photos", "photos: a folder has no frames to choose from"),
        ("train", scene_folder, "has its cameras already, and --frames is for a video"),
    ):
        assert main([verb, str(given), "--out", str(out), "--frames", "20"]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
        assert not out.exists()


def test_a_run_is_no_video_either(run: Path) -> None:
    done = nerfkit("train", run, "--resume", "--model", "toy", "--frames", 20)
    assert done.returncode == 2, done.stderr
    assert "--frames is for a video that a run begins with; leave it out" in " ".join(done.stderr.split())
