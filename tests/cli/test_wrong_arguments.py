"""Words that name no file, and outputs that can't be: one line before any work."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import pytest

from nerfkit.cli import main
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic, check_place


def told(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert main([str(word) for word in words]) == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "words",
    [
        ["train", "{}"], ["poses", "{}"], ["view", "{}"], ["render", "run", "-o", "{}"],
        ["train", "scene", "--out", "{}"], ["convert", "a.ply", "{}"],
        ["convert", "{}", "a.ply"], ["compare", "a", "{}"], ["export", "{}"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_neither_nothing_nor_standard_input_is_a_file(
    words: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    empty = told(capsys, *(word.format("") for word in words))
    assert empty == f"error: '': an empty name; a variable without a value?; see nerfkit {words[0]} --help"
    assert "error: '-': nerfkit reads and writes files, not standard input" in told(
        capsys, *(word.format("-") for word in words)
    )
    assert not list(tmp_path.iterdir())


def test_a_file_may_be_called_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert "error: -: no such file or folder" in told(capsys, "view", "./-")


def test_other_values_may_be_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert "missing.ply: no such file" in told(capsys, "convert", "missing.ply", "b.html", "--title", "")
    assert "--max-size -: is no size" in told(capsys, "convert", "missing.ply", "b.html", "--max-size", "-")


def test_help_of_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "scenes"]) == 0
    assert "usage: nerfkit scenes" in capsys.readouterr().out
    assert "there is no verb 'scene' (did you mean scenes?)" in told(capsys, "help", "scene")


def test_what_has_no_place_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    check_place(tmp_path / "new/deep/a.glb")
    check_place(tmp_path / "file")  # is replaced
    for path, cause in (
        (tmp_path / "file/a.glb", f"{tmp_path}/file is a file, not a folder"),
        (tmp_path / "file/deep/a.glb", f"{tmp_path}/file is a file, not a folder"),
        (tmp_path, "is a folder; name a file"),
    ):
        with pytest.raises(NerfkitError, match=cause):
            check_place(path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(NerfkitError, match=f"{tmp_path} may not be written to"):
        check_place(tmp_path / "new/a.glb")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, "error: b.ply: Permission denied; check the permissions of it and of the folders above"),
        (errno.EROFS, "error: b.ply: Read-only file system; check the permissions"),
        (errno.ENOSPC, "error: b.ply: no space left; free some space"),
        (errno.EIO, "This is a fault of nerfkit"),
    ],
)
def test_what_the_system_refuses(
    number: int, words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stat(path: Path, **_: object) -> os.stat_result:
        raise OSError(number, os.strerror(number), str(path))  # the output is looked at first

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "stat", stat)
    status = main(["convert", "secret/a.ply", "b.ply"])
    monkeypatch.undo()
    assert words in " ".join(capsys.readouterr().err.split())
    assert status == (1 if number == errno.EIO else 2)


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(NerfkitError, match=r"cannot be written \(.*file is a file, not a folder\)"),
        atomic(tmp_path / "file/a.ply"),
    ):
        pass


@pytest.mark.parametrize("name", ["a.html", "run", "zero.splat"])
def test_what_convert_cannot_read(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.toml").touch()
    for file in ("a.html", "zero.splat"):
        (tmp_path / file).touch()
    words = {
        "a.html": "pages are written, not read; take the run",
        "run": "is a run, not a splat file; nerfkit export writes its splats",
        "zero.splat": "an empty file",
    }
    assert words[name] in told(capsys, "convert", tmp_path / name, tmp_path / "out.ply")
