"""Measurements on the way: they take no longer than the training allows, and end with the run."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import toy

from nerfkit.contracts import Rendering
from nerfkit.data.scene import Scene
from nerfkit.train.checkpoint import list_newest_first, load
from nerfkit.train.config import TrainConfig
from nerfkit.train.evaluate import evaluate
from nerfkit.train.fit import fit
from nerfkit.train.run import Run
from nerfkit.train.spot_check import LEAST, allowance, spot_check, spread

PARTS = 10  # of a picture, each of which takes a while


class Time:
    """A clock that goes on by a second with each part of a picture."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Slow(toy.Model):
    """Draws a picture in parts, as ray models do."""

    def __init__(self, scene: Any, clock: Time) -> None:
        super().__init__(toy.Config(), scene)
        self.clock, self.parts = clock, 0

    def render(self, camera: Any, channels: Any = frozenset({"rgb"}), progress: Any = None) -> Rendering:
        for done in range(1, PARTS + 1):
            self.clock.seconds += 1
            self.parts += 1
            progress("pixels", done, PARTS)
        return super().render(camera, channels)


@pytest.fixture
def scene(scene_folder: Path) -> Scene:
    return Scene.load(scene_folder)


def slow_check(scene: Scene, seconds: float, stopped: Any = lambda: False) -> tuple[Any, Slow]:
    clock = Time()
    model = Slow(scene, clock)
    return spot_check(model, scene.views, seconds, stopped, clock), model


def test_with_time_enough_it_is_the_whole_evaluation(scene: Scene) -> None:
    found, model = slow_check(scene, 1000)
    assert set(found) == {"views", "psnr", "color_matched_psnr", "ssim"}
    assert found["views"] == len(scene.views)
    model.render = super(Slow, model).render  # type: ignore[method-assign]
    whole = evaluate(model, scene.views)
    assert {name: whole[name] for name in found} == pytest.approx(found)


def test_little_time_is_enough_for_a_few_views(scene: Scene) -> None:
    found, model = slow_check(scene, 35)
    assert found["views"] == 3
    assert model.parts == 35  # the fourth picture ended in its middle
    model.render = super(Slow, model).render  # type: ignore[method-assign]
    few = evaluate(model, [scene.views[index] for index in spread(len(scene.views))[:3]])
    assert found["psnr"] == pytest.approx(few["psnr"])


def test_no_time_for_a_view_is_no_measurement(scene: Scene) -> None:
    found, model = slow_check(scene, 7)
    assert found is None
    assert model.parts == 7


def test_whoever_stops_does_not_wait_for_a_picture(scene: Scene) -> None:
    asked: list[bool] = []

    def stopped() -> bool:
        asked.append(True)
        return len(asked) > 25

    found, model = slow_check(scene, 1000, stopped)
    assert found is None
    assert model.parts < 26


def test_a_picture_that_is_whole_counts_however_late(scene: Scene) -> None:
    found, _ = slow_check(scene, 10)
    assert found["views"] == 1


def test_the_first_views_are_far_apart() -> None:
    assert spread(0) == []
    assert spread(1) == [0]
    assert spread(8) == [0, 4, 2, 6, 1, 5, 3, 7]
    for count in (2, 3, 7, 12, 100):
        assert sorted(spread(count)) == list(range(count))
    first = sorted(spread(100)[:8])
    assert min(b - a for a, b in pairwise(first)) >= 8


def test_what_a_measurement_may_take() -> None:
    assert allowance(0) == allowance(4 * LEAST) == LEAST
    assert allowance(400) == 100


def slow_run(scene_folder: Path, out: Path, **changes: Any) -> Run:
    config = TrainConfig(scene_folder, model="toy", steps=20, hold_out_every=4, device="cpu", downscale=1, threads=1)
    for name, value in changes.items():
        setattr(config, name, value)
    return fit(out, config)


def test_a_run_says_what_it_left_out_and_ends_with_all(
    scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("nerfkit.train.spot_check.LEAST", 0.0)
    monkeypatch.setattr("nerfkit.train.spot_check.SHARE", 0.0)
    with caplog.at_level(logging.INFO, "nerfkit"):
        run = slow_run(scene_folder, tmp_path / "run", eval_every=0.5)
    assert "step 10: 1 of 3 held-out photos are measured on the way" in caplog.text
    assert [line["eval"]["views"] for line in run.log_lines() if "eval" in line] == [1]
    assert '"views": 3' in run.metrics.read_text()


def test_ctrl_c_ends_a_measurement_and_the_checkpoint_is_written(
    scene_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing = threading.Event()

    def render(self: toy.Model, camera: Any, channels: Any = frozenset({"rgb"}), progress: Any = None) -> Rendering:
        drawing.set()
        for part in range(1000):
            time.sleep(0.02)
            progress("pixels", part, 1000)
        raise AssertionError("nobody waits that long")

    monkeypatch.setattr(toy.Model, "render", render)
    begun: list[float] = []

    def press() -> None:
        assert drawing.wait(20)
        begun.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        slow_run(scene_folder, tmp_path / "run")
    thread.join()
    assert time.monotonic() - begun[0] < 8  # a picture takes 20, and machines are busy
    run = Run.open(tmp_path / "run")
    assert load(list_newest_first(run.checkpoints)[0]).step == 5
    assert not [line for line in run.log_lines() if "eval" in line]
