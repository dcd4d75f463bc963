"""Mapping in several ways: what is tried when the first model is wrong or small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bent import bend, move

from nerfkit import poses
from nerfkit.poses import check, mapping

Posed = tuple[Path, poses.PoseReport]


class Heard:
    """A stage's listener."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.done: list[int] = []
        self.steps: list[tuple[str, int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.done.append(done)

    def step(self, name: str, done: int, total: int) -> None:
        self.steps.append((name, done, total))

    def say(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def right(posed: Posed) -> Any:
    import pycolmap

    return pycolmap.Reconstruction(posed[0] / ".cache" / "model")


def spoiled(monkeypatch: pytest.MonkeyPatch, spoil: Callable[[mapping.Way, list[Any]], list[Any]]) -> None:
    """Lets what incremental mapping finds go wrong."""
    real = mapping._Job.incremental
    monkeypatch.setattr(mapping._Job, "incremental", lambda job, way, scratch: spoil(way, real(job, way, scratch)))


def run(posed: Posed, tmp_path: Path, **more: Any) -> tuple[dict[str, Any], Heard, Any]:
    import pycolmap

    heard = Heard()
    result = mapping.work(
        heard, str(posed[0] / ".cache" / "matching.db"), str(posed[0].parent / "ten"), str(tmp_path / "model"), 10, 0,
        **more,
    )  # fmt: skip
    written = pycolmap.Reconstruction(tmp_path / "model") if (tmp_path / "model").is_dir() else None
    return result, heard, written


def test_a_right_model_is_mapped_once(posed: Posed, right: Any, tmp_path: Path) -> None:
    result, heard, model = run(posed, tmp_path)
    assert (result["attempts"], result["doubts"], result["groups"], heard.lines) == (1, [], [], [])
    assert len(result["registered"]) == 10
    assert heard.done[-1] == 10
    assert heard.steps == [
        (mapping.ADJUSTING, 0, 1), (mapping.ADJUSTING, 1, 1), (mapping.CHECKING, 0, 1), (mapping.CHECKING, 1, 1),
        *((mapping.COLORS, done, 10) for done in range(1, 11)),
    ]  # fmt: skip
    assert check.same(model, right)


def test_a_bent_model_is_mapped_again(
    posed: Posed, right: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(way: mapping.Way, models: list[Any]) -> list[Any]:
        if way.start == 0:
            bend(models[0], 20)
        return models

    spoiled(monkeypatch, spoil)
    result, heard, model = run(posed, tmp_path)
    assert (result["attempts"], result["doubts"]) == (2, [])
    assert len(heard.lines) == 1
    assert heard.lines[0].startswith("the poses look wrong (only ")
    assert "% of the matches agree with the poses; most matches contradict the poses of 00" in heard.lines[0]
    assert heard.lines[0].endswith("): trying incremental mapping, start 2")
    assert check.same(model, right)


def test_two_starts_that_agree_are_believed(posed: Posed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EXIF may be wrong; that every start ends at the same poses is the better witness."""
    names = [f"{index:04d}.jpg" for index in (0, 1, 2, 3, 20, 21, 22, 36, 37, 38)]
    result, heard, _ = run(posed, tmp_path, focals=dict.fromkeys(names, 100.0))
    assert (result["attempts"], result["doubts"]) == (2, [])
    assert "times what EXIF says" in heard.lines[0]


def test_doubts_that_no_start_removes_are_told(posed: Posed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(way: mapping.Way, models: list[Any]) -> list[Any]:
        bend(models[0], 15 * (way.start + 1))
        return models

    spoiled(monkeypatch, spoil)
    result, heard, _ = run(posed, tmp_path)
    assert result["attempts"] == 3
    assert len(heard.lines) == 2
    assert "of the matches agree" in result["doubts"][0]


def test_a_photo_that_every_start_puts_into_a_wrong_place_is_left_out(
    posed: Posed, right: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(way: mapping.Way, models: list[Any]) -> list[Any]:
        image = models[0].find_image_with_name("0037.jpg")
        middle = np.mean([other.projection_center() for other in models[0].images.values()], axis=0)
        move(image, 2 * (middle - image.projection_center()))
        return models

    spoiled(monkeypatch, spoil)
    result, heard, _ = run(posed, tmp_path)
    assert (result["attempts"], result["doubts"]) == (2, [])
    assert len(result["registered"]) == 9
    assert "0037.jpg" not in result["registered"]
    assert "most matches contradict the poses of 0037.jpg" in heard.lines[0]
    assert heard.lines[1] == "0037.jpg: left out, most of its matches contradict its pose"


def test_few_photos_are_tried_with_relaxed_thresholds_and_by_the_global_mapper(
    posed: Posed, right: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoiled(monkeypatch, lambda way, models: [])
    result, heard, model = run(posed, tmp_path)
    assert result["attempts"] == 3
    assert heard.lines == [
        "no photos fit together: trying incremental mapping with relaxed thresholds",
        "no photos fit together: trying global mapping, start 1",
    ]
    assert (len(result["registered"]), result["doubts"]) == (10, [])
    assert check.same(model, right)
