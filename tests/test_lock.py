"""Only one command at a time is at work in a folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nerfkit.errors import NerfkitError
from nerfkit.lock import alone

HOLDER = """
import sys, time
from pathlib import Path
from nerfkit.lock import alone
with alone(Path(sys.argv[1])):
    print(flush=True)
    time.sleep(60)
"""


def test_the_second_is_refused_and_the_third_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with alone(folder):
        with (
            pytest.raises(NerfkitError, match=r"^the run: another nerfkit is at work there; wait .* or wait longer$"),
            alone(folder, Path("the run"), "wait longer"),
        ):
            raise AssertionError
        with alone(tmp_path / "other"), alone(tmp_path / "new"):
            pass
    with alone(folder):
        assert list(folder.iterdir()) == []


def test_a_killed_command_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(NerfkitError, match="at work there"), alone(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with alone(tmp_path):
            pass


def test_what_a_command_starts_has_no_part_in_its_lock(tmp_path: Path) -> None:
    with alone(tmp_path):
        helper = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with alone(tmp_path):
            pass
    finally:
        helper.kill()
        helper.wait()


def test_a_file_system_without_locks_goes_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(handle: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("nerfkit.lock.fcntl.flock", flock)
    with alone(tmp_path / "run"), alone(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()


def test_a_folder_that_can_not_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    words = r"file/run: cannot be written \(.*file is a file, not a folder\); choose another output path"
    with pytest.raises(NerfkitError, match=words), alone(tmp_path / "file" / "run"):
        raise AssertionError
