from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import toy

from nerfkit.errors import NerfkitError
from nerfkit.train.clock import Clock, Every
from nerfkit.train.config import TrainConfig, parse_duration
from nerfkit.train.run import Run


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("3min", 180), ("1h", 3600), ("1h30min", 5400), ("1.5m", 90), ("2 min 5 s", 125)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "60", "3 minutes", "-5s", "0s", "min", "5s!", "1d"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(NerfkitError, match="not a duration; write it like 60s, 3min or 1h30min"):
        parse_duration(text)


def test_config_survives_toml(tmp_path: Path) -> None:
    options = toy.Config(learning_rate=1e-10, nan_at=(3, 4))
    config = TrainConfig(
        Path('odd "name" \\ ü/\t\x7f'), model="toy", budget="3min", seed=5, eval_every=1.0, model_options=options
    )
    config.save(tmp_path / "config.toml")
    assert TrainConfig.open(tmp_path / "config.toml") == config


@pytest.mark.parametrize("text", ["model = ", 'model = "toy"', 'scene = "a"\nmodel = "toy"\nfuture = 1', "\xff"])
def test_wrong_config_files(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text, encoding="latin-1")
    with pytest.raises(NerfkitError, match=r"config\.toml.*train again"):
        Run.open(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 5, "budget": "5s"}, "give one of them"),
        ({"steps": 0}, "--steps 0: must be 1 or more"),
        ({"downscale": 0}, "--downscale 0: must be 1 or more"),
        ({"hold_out_every": -1}, "--hold-out-every -1: must be 0, or 2 or more"),
        ({"hold_out_every": 1}, "--hold-out-every 1: must be 0, or 2 or more"),
        ({"eval_every": 2.0}, "--eval-every 2: must be 0 to 1"),
        ({"budget": "soon"}, "'soon': not a duration"),
    ],
)
def test_impossible_values(changes: dict[str, object], message: str) -> None:
    with pytest.raises(NerfkitError, match=message):
        replace(TrainConfig(Path("scene"), model="toy"), **changes).check()  # type: ignore[arg-type]


def test_default_length_depends_on_the_device() -> None:
    config = TrainConfig(Path("scene"), model="toy")
    assert config.for_device("cpu").steps == 3000
    assert config.for_device("cuda").steps == 30000
    assert replace(config, budget="1s").for_device("cpu").steps is None


def test_unknown_model() -> None:
    with pytest.raises(NerfkitError, match="no model 'splines'; choose one of: gaussians"):
        TrainConfig(Path("scene"), model="splines")


def test_config_imports_no_torch() -> None:
    code = "import sys, nerfkit.train.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


class Time:
    def __init__(self) -> None:
        self.value = 100.0

    def __call__(self) -> float:
        return self.value


def test_clock_counts_only_the_loop_and_goes_on_after_a_resume() -> None:
    time = Time()
    clock = Clock(None, 10.0, earlier=4.0, now=time)
    time.value += 50  # set-up
    with clock.running():
        time.value += 1
        assert clock.progress == pytest.approx(0.5)
        with clock.paused():
            time.value += 50  # evaluation
        time.value += 4
        assert clock.progress == pytest.approx(0.9)
        assert clock.seconds_left(3.0) == pytest.approx(1.0)
        time.value += 50
        assert clock.progress == 1
        assert clock.done


def test_clock_by_steps() -> None:
    clock = Clock(10, None, step=4)
    assert clock.progress == pytest.approx(0.4)
    assert clock.seconds_left(2.0) == pytest.approx(3.0)
    clock.step = 10
    assert clock.done


def test_every_is_due_at_multiples_wherever_it_starts() -> None:
    def due_steps(first: int) -> list[int]:
        clock = Clock(100, None, step=first)
        every, due = Every(0.25).start(clock), []
        for clock.step in range(first + 1, 101):
            due += [clock.step] if every.due(clock) else []
        return due

    assert due_steps(0) == [25, 50, 75, 100]
    assert due_steps(30) == [50, 75, 100]
