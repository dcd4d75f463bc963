"""Which way is up in the viewer, where nobody says it on the command line."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from nerfkit.cli import main, view
from nerfkit.cli.export import up_of
from nerfkit.cli.parse import parse
from nerfkit.contracts import Gaussians
from nerfkit.data.scene import Scene
from nerfkit.splats import formats, upright
from nerfkit.splats.upright import Up
from nerfkit.train.run import Run
from nerfkit.viewer.subject import open_subject


def gaussians_of(run: Run) -> Gaussians:
    found = run.model("cpu").gaussians()  # type: ignore[attr-defined]
    assert len(found) > 0
    return found


@pytest.mark.parametrize("suffix", ["ply", "compressed.ply", "sog", "glb"])
def test_an_export_stands_upright(little_run: Run, tmp_path: Path, suffix: str) -> None:
    """The cameras of its scene look at their ring's middle, around +Z."""
    out = tmp_path / f"splats.{suffix}"
    assert main(["export", str(little_run.path), "-o", str(out)]) == 0
    assert formats.said_up(out) == (None if suffix == "glb" else "z")
    assert open_subject(out).up == "+z" and open_subject(out, up="-y").up == "-y"


def test_an_export_whose_up_is_turned_away_says_nothing(little_run: Run, tmp_path: Path) -> None:
    out = tmp_path / "splats.ply"
    assert main(["export", str(little_run.path), "-o", str(out), "--rotate", "90", "0", "0"]) == 0
    assert formats.said_up(out) is None


@pytest.mark.parametrize(("file", "up"), [("a.ply", "z"), ("a.sog", "y"), ("a.ply", "-y")])
def test_a_files_word_counts(little_run: Run, tmp_path: Path, file: str, up: Up) -> None:
    formats.write(tmp_path / file, gaussians_of(little_run), up=up)
    assert open_subject(tmp_path / file).up.removeprefix("+") == up


def test_a_file_that_says_nothing_is_as_most_are(
    little_run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    formats.write(tmp_path / "a.splat", gaussians_of(little_run))
    with caplog.at_level(logging.INFO, "nerfkit"):
        assert open_subject(tmp_path / "a.splat").up == "-y"
    assert "a.splat can't, as all of its format, say which way is up" in caplog.text
    formats.write(tmp_path / "a.ply", gaussians_of(little_run))
    with caplog.at_level(logging.INFO, "nerfkit"):
        assert open_subject(tmp_path / "a.ply").up == "-y"
    assert "a.ply doesn't say which way is up" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO, "nerfkit"):
        assert open_subject(tmp_path / "a.splat", up="+x").up == "+x"
    assert "which way" not in caplog.text


def test_runs_and_scenes_stand_on_their_own(little_run: Run, little_scene: Path) -> None:
    assert open_subject(little_run.path).up == open_subject(little_scene).up == "+z"


def test_a_world_that_lies_on_its_side_is_said(little_run: Run) -> None:
    """COLMAP's worlds have -Y up as often as not: what is exported in them says so."""
    scene: Scene = little_run.scene()
    assert up_of(scene) == "z"
    colmap_from_world = upright.turn("-y").inverse().compose(upright.turn("z"))
    turned = replace(scene, scene_from_world=scene.scene_from_world.compose(colmap_from_world.inverse()))
    assert up_of(turned) == "-y"


@pytest.mark.parametrize(
    ("words", "up"), [([], None), (["--up", "z"], "+z"), (["--up", "-y"], "-y"), (["--up", "+x"], "+x")]
)
def test_axes_may_leave_out_their_sign(words: list[str], up: str | None) -> None:
    assert view.signed(parse(view.Options, "view", "", ["a.spz", *words]).up) == up
