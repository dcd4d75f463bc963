"""Training with somebody who looks: the observer, and the live view as one."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import little
import pytest
from test_desk import Browser

from nerfkit.train.checkpoint import list_newest_first
from nerfkit.train.config import TrainConfig
from nerfkit.train.fit import fit
from nerfkit.train.observer import Wish
from nerfkit.train.run import Run
from nerfkit.viewer import live as live_module
from nerfkit.viewer.live import LiveViewer
from nerfkit.viewer.panel_train import describe


class Scripted:
    """Wishes by the number of the question."""

    def __init__(self, wishes: dict[int, Wish]) -> None:
        self.wishes, self.asked, self.begun = wishes, 0, 0

    def begin(self, run: Run, scene: Any, model: Any) -> None:
        self.begun += 1

    def between_steps(self) -> Wish:
        self.asked += 1
        return self.wishes.get(self.asked, "go")


def newest(run: Run) -> bytes:
    return list_newest_first(run.checkpoints)[0].read_bytes()


def test_stopping_is_an_end_like_any_other_and_can_be_resumed(little_scene: Path, tmp_path: Path) -> None:
    watcher = Scripted({16: "stop"})
    run = fit(tmp_path / "run", little.config(little_scene), observer=watcher)
    assert watcher.begun == 1
    metrics = json.loads(run.metrics.read_text())
    assert metrics["steps"] == 15
    assert metrics["eval"]["psnr"] > 5
    assert run.report.is_file()
    again = fit(tmp_path / "run", little.config(little_scene), resume=True)
    assert json.loads(again.metrics.read_text())["steps"] == 40


def test_a_pause_is_no_time_of_the_run(little_scene: Path, tmp_path: Path) -> None:
    watcher = Scripted({number: "pause" for number in range(5, 55)})
    start = time.monotonic()
    run = fit(tmp_path / "run", little.config(little_scene), observer=watcher)
    took = time.monotonic() - start
    metrics = json.loads(run.metrics.read_text())
    assert metrics["steps"] == 40
    assert took > 1.0  # fifty questions, 20 ms apart
    assert metrics["seconds"] < took - 1.0


class Watched(LiveViewer):
    """A live view with a browser that looks from the first step on."""

    def begin(self, run: Run, scene: Any, model: Any) -> None:
        super().begin(run, scene, model)
        assert self._viewer is not None
        self.browser = Browser()
        self._viewer.desk.join(self.browser)


def test_looking_changes_nothing_and_shows_the_model_as_it_learns(
    little_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_module, "REFRESH", 0.0)
    monkeypatch.setattr(live_module, "SHARE", 0.9)
    monkeypatch.setattr(live_module, "SHARE_MOVING", 0.9)
    with Watched(None, 0) as watcher:
        run = fit(tmp_path / "run", little_run.config, observer=watcher, monitor=watcher)
        assert len(watcher.browser.splats) > 3
        assert (watcher.browser.splats[0][2].shape != watcher.browser.splats[-1][2].shape) or (
            watcher.browser.splats[0][2] != watcher.browser.splats[-1][2]
        ).any()
        assert watcher._panel is not None
        assert len(watcher._panel._curve) > 3
        assert "**step 40**" in watcher._panel.words.content
    assert newest(run) == newest(little_run)


def test_looking_changes_nothing_of_a_field_either(
    little_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("REFRESH", "SHARE", "SHARE_MOVING"):
        monkeypatch.setattr(live_module, name, 0.0 if name == "REFRESH" else 0.9)
    config = TrainConfig(little_scene, model="ngp", steps=12, device="cpu", downscale=1, threads=1, eval_every=0)
    config.model_options.batch = 1024
    alone = fit(tmp_path / "alone", config)
    with Watched(None, 0) as watcher:
        watched = fit(tmp_path / "watched", config, observer=watcher, monitor=watcher)
        assert len(watcher.browser.pictures) > 0
    assert newest(watched) == newest(alone)


def test_pause_resume_and_stop_by_their_buttons(little_scene: Path, tmp_path: Path) -> None:
    config = replace(little.config(little_scene), steps=1_000_000)
    with LiveViewer(None, 0) as watcher:
        seen: list[int] = []

        def press() -> None:
            panel = watcher._panel
            assert panel is not None
            panel._turn()
            time.sleep(0.3)
            seen.append(len(steps))
            time.sleep(0.3)
            seen.append(len(steps))
            panel._turn()
            time.sleep(0.3)
            seen.append(len(steps))
            panel._stop()

        steps: list[Wish] = []
        original = watcher.between_steps

        def counted() -> Wish:
            wish = original()
            if wish == "go":
                steps.append(wish)
            if len(steps) == 20 and not pressing.is_alive() and not seen:
                pressing.start()
            return wish

        pressing = threading.Thread(target=press)
        watcher.between_steps = counted  # type: ignore[method-assign]
        run = fit(tmp_path / "run", config, observer=watcher, monitor=watcher)
        pressing.join()
    assert seen[0] == seen[1] < seen[2]
    assert json.loads(run.metrics.read_text())["steps"] == pytest.approx(len(steps), abs=1)


def test_the_page_is_told_of_the_end(little_scene: Path, tmp_path: Path) -> None:
    said: list[tuple[str, bool]] = []
    with LiveViewer(None, 0) as watcher:

        def listening(stage: str, done: int, total: int) -> None:
            panel = watcher._panel
            if stage == "held-out views" and panel is not None:
                said.append((panel.words.content, panel.stop.disabled))

        fit(tmp_path / "run", little.config(little_scene), observer=watcher, monitor=watcher, progress=listening)
        panel = watcher._panel
    assert said and all("**step 40**" in words and "measured now" in words and ended for words, ended in said)
    assert panel is not None and f"`nerfkit view {tmp_path / 'run'}`" in panel.words.content
    status = panel._status
    assert status is not None
    half = replace(status, progress=0.5)
    assert "measured" not in describe(half, "go") and "measured now" in describe(half, "stop")


def test_the_curve_is_of_parts_at_the_photos_own_scale(little_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from nerfkit.train.evaluate import draw, evaluate
    from nerfkit.train.metrics import psnr
    from nerfkit.viewer import score

    scene = little_run.scene()
    model = little_run.model(scene=scene)
    views = [scene.views[index] for index in scene.held_out]
    assert len(views) == 2
    assert score.Score(model, scene).psnr() == pytest.approx(evaluate(model, views)["psnr"], abs=1e-3)
    monkeypatch.setattr(score, "SIDE", 20)
    rows, columns = slice(6, 26), slice(14, 34)  # of 32 and 48
    parts = [psnr(draw(model, view)[rows, columns], view.image()[rows, columns] / 255) for view in views]
    middles = pytest.approx(sum(parts) / 2, abs=0.25)  # Gaussians at the rim differ
    assert score.Score(model, scene).psnr() == middles
    monkeypatch.setattr(score, "SIDE", 160)
    monkeypatch.setattr(score, "SECONDS", 0.0)  # a model that is slow has small parts
    assert score.Score(model, scene).psnr() == middles
