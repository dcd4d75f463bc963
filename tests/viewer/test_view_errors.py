"""What can go wrong before a page is served: one line, exit status 2."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nerfkit.cli import main
from nerfkit.train.run import Run
from nerfkit.viewer import subject as subject_module


def told(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line for line in printed.err.splitlines() if line]
    assert len(lines) == 1
    return lines[0]


def test_the_missing_package_is_named(
    little_run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "viser", None)
    words = "error: the viewer needs the package viser, which is not installed; run: pip install nerfkit[viewer]"
    assert told(capsys, "view", little_run.path) == words
    assert told(capsys, "train", little_run.config.scene, "--out", tmp_path / "run", "--viewer") == words
    assert not (tmp_path / "run").exists()


def test_nothing_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file or folder" in told(capsys, "view", tmp_path / "none")
    (tmp_path / "broken.ply").write_bytes(b"ply\nnot really")
    assert "broken.ply" in told(capsys, "view", tmp_path / "broken.ply")
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in told(capsys, "view", tmp_path / "empty")


def test_a_page_needs_no_viewer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "a scene.html"
    page.write_text("<!doctype html>")
    words = f"error: {page}: is a page, which needs no viewer: open {page.as_uri()} in a browser"
    assert told(capsys, "view", page) == words


def test_more_gaussians_than_browsers_like_are_told(little_run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = subject_module.open_subject(little_run.path)
    assert subject_module.too_many(little_run.path, shown) is None
    monkeypatch.setattr(subject_module, "MANY", 300)
    words = subject_module.too_many(little_run.path, shown)
    assert words is not None and "nerfkit export with --max-size" in words


def test_the_viewers_options_need_the_viewer(
    little_scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "add --viewer" in told(capsys, "train", little_scene, "--out", tmp_path / "run", "--port", "7007")
    assert not (tmp_path / "run").exists()
