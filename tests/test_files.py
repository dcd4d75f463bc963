"""Files appear whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nerfkit.errors import NerfkitError
from nerfkit.files import atomic, remove_abandoned, remove_partials


def test_an_output_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out.ply").mkdir()
    told = r"out\.ply: cannot be written \(Is a directory\)"
    with pytest.raises(NerfkitError, match=told), atomic(tmp_path / "out.ply") as partial:
        partial.write_text("a")
    assert [path.name for path in tmp_path.iterdir()] == ["out.ply"]


def test_words_are_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    code = "import pathlib, sys; from nerfkit import files; files.write_text(pathlib.Path(sys.argv[1]), 'Gr\\u00fcn')"
    plain = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.txt")], env=plain, check=True)
    assert (tmp_path / "a.txt").read_bytes() == "Grün".encode()


def test_names_as_long_as_the_system_takes(tmp_path: Path) -> None:
    """Work is not lost for what is added to a name while a file is written."""
    for name in ("x" * 251 + ".txt", "ü" * 125 + ".txt", "short.txt"):
        with atomic(tmp_path / name) as partial:
            partial.write_text("a", encoding="utf-8")
            assert partial.suffix == ".txt" and len(os.fsencode(partial.name)) <= 255
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_what_killed_commands_began_is_removed(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from nerfkit.files import atomic\n"
    code += "with atomic(Path(sys.argv[1])) as p:"
    for name, begin in (("a.mp4", "p.touch()"), ("b.mp4", "p.touch()"), ("depths", "p.mkdir(); (p / '1').touch()")):
        killed = [sys.executable, "-c", f"{code} {begin}; os.kill(os.getpid(), 9)", str(tmp_path / name)]
        assert subprocess.run(killed).returncode == -9
    (tmp_path / ".mine.partial.mp4").touch()  # none of ours
    began = set(tmp_path.iterdir())
    assert len(began) == 4
    remove_abandoned(tmp_path)
    assert set(tmp_path.iterdir()) == began  # just now: another command's, perhaps
    remove_partials([tmp_path / "a.mp4"], age=0)
    assert sorted(path.name[:3] for path in tmp_path.iterdir()) == [".b.", ".de", ".mi"]
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    remove_abandoned(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine.partial.mp4"]
