"""Values that nobody can mean are refused in one line, by every verb, before it begins."""

from __future__ import annotations

import importlib
import math
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from nerfkit import limits
from nerfkit.cli import VERBS, main
from nerfkit.errors import NerfkitError
from nerfkit.limits import Within
from nerfkit.mesh.options import MeshOptions

ARGUMENTS = {"compare": ["a", "b"], "convert": ["a.ply", "b.spz"], "doctor": [], "scenes": []}


def numeric(kind: type, outer: str = "") -> Iterator[tuple[str, bool, Within | None]]:
    """The options of a verb that are one number: their names, whether they are whole, and their limits."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        name, hint = f"{outer}{field.name.replace('_', '-')}", hints[field.name]
        if is_dataclass(hint):
            yield from numeric(typing.cast(type, hint), f"{name}.")
        elif kinds := {part for part in parts(hint) if part in (int, float)}:
            yield name, kinds == {int}, limits.limit_of(hint)


def parts(hint: Any) -> Iterator[Any]:
    yield hint
    if typing.get_origin(hint) not in (tuple, Literal):
        for part in typing.get_args(hint):
            yield from parts(part)


def every_option() -> list[Any]:
    found = []
    for verb in VERBS:
        for name, whole, limit in numeric(importlib.import_module(f"nerfkit.cli.{verb}").Options):
            found.append(pytest.param(verb, name, whole, limit, id=f"{verb} --{name}"))
    return found


def test_all_verbs_are_looked_at() -> None:
    ids = [str(option.id) for option in every_option()]
    assert len(ids) > 80 and {"mesh --resolution", "train --ngp.levels", "render --fps", "run --faces"} <= set(ids)


@pytest.mark.parametrize(("verb", "name", "whole", "limit"), every_option())
def test_what_is_out_of_its_limits_is_refused(
    verb: str, name: str, whole: bool, limit: Within | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert limit is not None, "an option that is a number needs its limits: nerfkit/limits.py"
    below = limit.least if limit.above and not limit.or_zero else limit.least - 1
    wrong = [f"{below:g}", *(["1" + "0" * 40] if limit.most < 1e9 else []), *([] if whole else ["nan", "inf", "-inf"])]
    assert not any(limit.holds(float(value)) for value in wrong)
    assert main([verb, *ARGUMENTS.get(verb, ["nothing"]), f"--{name}={wrong[0]}"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert told.startswith(f"error: --{name} ") and f"must be {limit.words}" in told


@pytest.mark.parametrize("verb", VERBS)
def test_defaults_are_within_their_limits(verb: str) -> None:
    kind = importlib.import_module(f"nerfkit.cli.{verb}").Options
    for field in fields(kind):
        if is_dataclass(field.type) and isinstance(field.type, type):
            limits.check(field.type())
    for name, _, limit in numeric(kind):
        default = next((f.default for f in fields(kind) if f.name.replace("_", "-") == name), None)
        assert not isinstance(default, int | float) or (limit is not None and limit.holds(default))


def test_words() -> None:
    assert Within(1, 8).words == "1 to 8" and Within(16).words == "16 or more"
    assert Within(0, above=True).words == "more than 0" and Within(100, or_zero=True).words == "0, or 100 or more"
    assert Within(0, 1, above=True).words == "more than 0, 1 at most"
    for value, holds in ((0, True), (99, False), (100, True), (-1, False), (math.nan, False)):
        assert Within(100, or_zero=True).holds(value) == holds


def test_options_within_options_and_those_that_may_be_left_out() -> None:
    for fine in (MeshOptions(), MeshOptions(faces=0), MeshOptions(smooth=0.5), MeshOptions(resolution=16)):
        limits.check(fine)
    for wrong, words in (
        (MeshOptions(smooth=2), "--smooth 2: must be 0 to 1, or auto"),
        (MeshOptions(resolution=5), "--resolution 5: must be 16 or more"),
        (MeshOptions(faces=3), "--faces 3: must be 0, or 100 or more"),
    ):
        with pytest.raises(NerfkitError) as raised:
            limits.check(wrong)
        assert str(raised.value) == words
    with pytest.raises(NerfkitError, match=r"^--inner\.resolution 2: must"):
        limits.check(MeshOptions(resolution=2), "inner.")
    limits.check(MeshOptions(resolution=2), leave=("resolution",))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("convert a.ply b.ply --crop-box 1 2 -3", "--crop-box 1 2 -3: takes 6 numbers, and 3 are given"),
        ("convert a.ply b.ply --crop-box 1 2 3 4 5 6 7", "--crop-box 1 2 3 4 5 6 7: takes 6 numbers, and 7 are given"),
        ("convert --crop_sphere 1 2 3 a.ply b.ply", "--crop-sphere 1 2 3: takes 4 numbers, and 3 are given"),
        ("convert a.ply b.ply --crop-box 1 2 3 4 5 x", "--crop-box 1 2 3 4 5: takes 6 numbers, and 5 are given"),
        ("render run --crop 1 2 3", "--crop 1 2 3: takes 6 numbers, or several times as many, and 3 are given"),
        ("mesh run --bounds --faces 0", "--bounds: takes 6 numbers, and 0 are given"),
        ("mesh run --smooth 1x", "--smooth 1x: must be {auto}|FLOAT"),
        ("mesh run --resolution 1.5", "--resolution 1.5: must be a whole number"),
        ("render run --fps fast", "--fps fast: must be a number"),
    ],
)
def test_what_is_no_number_or_too_few_of_them(words: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    verb, *arguments = words.split()
    assert main([verb, *arguments]) == 2
    assert capsys.readouterr().err == f"error: {told}; see nerfkit {verb} --help\n"


def test_numbers_before_a_run_with_a_number_for_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mesh", "--bounds", *"000111", "7"]) == 2
    assert "7: no such run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "option", "words"),
    [
        ("ngp", "--ngp.grid-cells 33", "must be a multiple of 32"),
        ("ngp", "--ngp.features 3", "must be 1, 2, 4 or 8"),
        ("ngp", "--ngp.coarsest 9 --ngp.finest 8", "must be from 1 to --ngp.finest 8"),
        ("nerf", "--nerf.width 256", "use --nerf.preset paper"),
        ("nerf", "--nerf.antialias --nerf.space ndc", "leave out one of them"),
    ],
)
def test_options_that_make_no_sense_leave_no_run(
    model: str, option: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["train", str(tmp_path / "scene"), "--out", str(tmp_path / "run"), "--model", model, *option.split()]) == 2
    )
    assert words in capsys.readouterr().err and not list(tmp_path.iterdir())
