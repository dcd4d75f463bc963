"""``nerfkit run``, on a scene that is trained already: what it makes of it, and that it makes nothing twice."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "viewer"))
import little

from nerfkit.cli import main, train
from nerfkit.errors import NerfkitError


def test_what_a_run_ends_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = little.make_vivid(little.make_run(tmp_path), tmp_path / "vivid")
    mesh = run.path / ".stages" / "mesh.json"  # as if made before: a mesh takes half a minute
    mesh.parent.mkdir()
    mesh.write_text(json.dumps({"asked": {"faces": None, "engine": None}, "result": {"files": []}}))
    words = ["run", str(run.config.scene), "--out", str(run.path), "--downscale", "1", "--no-geometry", "--json"]
    assert main(words) == 0
    made = json.loads(capsys.readouterr().out)
    files = [Path(name) for stage in ("render", "mesh", "export", "page") for name in made[stage]["files"]]
    assert [path.name for path in files] == ["orbit.mp4", "splats.ply", "splats.html"]
    page = files[2].read_text(encoding="utf-8")
    assert page.startswith("<!") and "<title>vivid" in page
    for path in files:
        assert path.relative_to(run.path).as_posix() in run.report.read_text(encoding="utf-8")

    before = [path.stat().st_mtime_ns for path in files]
    assert main(words) == 0
    assert [path.stat().st_mtime_ns for path in files] == before

    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    capsys.readouterr()
    assert main([*words[:3], str(copy), *words[4:]]) == 0
    again = json.loads(capsys.readouterr().out)
    named = [Path(name) for stage in ("render", "mesh", "export", "page") for name in again[stage]["files"]]
    assert named == [copy / path.relative_to(run.path) for path in files]
    assert [path.stat().st_mtime_ns for path in named] == before


def test_what_is_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was interrupted, even if it was measured since, and one that is to become longer."""
    run = little.make_vivid(little.make_run(tmp_path), tmp_path / "vivid")
    asked: list[train.Options] = []

    def stop(options: train.Options, *_: object) -> None:
        asked.append(options)
        raise NerfkitError("enough")

    monkeypatch.setattr(train, "run", stop)
    words = ["run", str(run.config.scene), "--out", str(run.path), "--downscale", "1", "--no-geometry"]
    known = json.loads(run.metrics.read_text())
    assert main([*words, "--steps", str(known["steps"] + 1)]) == 2
    run.metrics.write_text(json.dumps(known | {"finished": False}))
    assert main(words) == 2
    assert [(one.resume, one.steps, one.budget) for one in asked] == [
        (True, known["steps"] + 1, None), (True, None, None),
    ]  # fmt: skip
