"""Killed in every stage, or with broken files in the cache: the next run makes good what is missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nerfkit import poses
from nerfkit.cache import Cache
from nerfkit.errors import NerfkitError
from nerfkit.lock import alone
from nerfkit.poses import stage
from nerfkit.poses.claim import claim
from nerfkit.poses.compare import pose_errors, read_poses

ROOT = Path(__file__).parents[2]
DRAFT = poses.PoseOptions(quality="draft")
Posed = tuple[Path, poses.PoseReport]


def start(photos: Path, out: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nerfkit.cli", "poses", str(photos), "--out", str(out), "--quality", "draft", "--json"],
        text=True, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)


def children(number: int) -> list[int]:
    tasks = Path(f"/proc/{number}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at Linux's list of processes")
def test_killed_in_each_stage_it_goes_on(posed: Posed, ten_photos: Path, tmp_path: Path) -> None:
    """The command and its worker die at once, as when memory runs out, and so does the next in the next stage; the
    last one gives the same poses."""
    out = tmp_path / "poses"
    for sign in ("features.db", "matching.db", "model-scratch"):
        process = start(ten_photos, out)
        wait_for(lambda sign=sign: any((out / ".cache").glob(f"work-*/{sign}")), process)  # type: ignore[misc]
        workers = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert workers
        end = time.monotonic() + 5
        while any(Path(f"/proc/{worker}/cmdline").is_file() for worker in workers):
            assert time.monotonic() < end  # a worker ends with the command
            time.sleep(0.01)
        assert list((out / ".cache").glob("work-*"))
        assert not (out / "transforms.json").exists()
    assert_the_same(poses.estimate(ten_photos, out, DRAFT), out, posed)
    assert not list((out / ".cache").glob("work-*"))


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "empty", "gone"])
def test_broken_databases_are_noticed(posed: Posed, tmp_path: Path, damage: str) -> None:
    database = tmp_path / "features.db"
    shutil.copy(posed[0] / ".cache" / "features.db", database)
    assert stage.intact(database)
    spoil(database, damage)
    assert not stage.intact(database)


def test_broken_databases_are_made_anew(posed: Posed, ten_photos: Path) -> None:
    out = ten_photos.parent / "broken_databases"
    shutil.copytree(posed[0], out)
    spoil(out / ".cache" / "features.db", "overwritten")
    spoil(out / ".cache" / "matching.db", "truncated")
    (out / "transforms.json").unlink()
    for file in ("mapping.json", "output.json"):
        (out / ".cache" / file).unlink()
    assert_the_same(poses.estimate(ten_photos, out, DRAFT), out, posed)
    assert stage.intact(out / ".cache" / "features.db")


def test_a_broken_model_is_made_anew(posed: Posed, ten_photos: Path) -> None:
    out = ten_photos.parent / "broken_model"
    shutil.copytree(posed[0], out)
    images = out / ".cache" / "model" / "images.bin"
    images.write_bytes(images.read_bytes()[:1000])
    (out / "transforms.json").unlink()
    assert_the_same(poses.estimate(ten_photos, out, DRAFT), out, posed)
    assert images.stat().st_size > 1000


def test_one_command_at_a_time(posed: Posed, ten_photos: Path) -> None:
    """Another one would remove what the first is making."""
    out, report = posed
    cache = Cache(out / ".cache")
    with alone(out), cache.workspace() as work:
        with pytest.raises(NerfkitError, match=r"posed: another nerfkit is at work there; wait until it has ended"):
            poses.estimate(ten_photos, out, DRAFT)
        assert work.is_dir()
    assert poses.estimate(ten_photos, out, DRAFT) == report


def test_a_stage_that_fails_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """COLMAP's own words then are that no registered database factory succeeded."""
    with pytest.raises(RuntimeError, match="no such stage"):
        stage.run("no such stage", {}, tmp_path / "log", lambda *_: None)
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(NerfkitError, match="no space left; free some space"):
        stage.run("no such stage", {}, tmp_path / "log", lambda *_: None)


def test_an_output_that_has_become_read_only_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim(tmp_path / "out", tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # nothing stops root from writing, but this
    with pytest.raises(NerfkitError, match=r"out: .*cache may not be written to; choose another output path"):
        claim(tmp_path / "out", tmp_path)


def spoil(database: Path, damage: str) -> None:
    data = bytearray(database.read_bytes())
    if damage == "truncated":
        database.write_bytes(data[: len(data) // 2])
    elif damage == "overwritten":
        data[len(data) // 4 : len(data) // 2] = bytes(range(256)) * ((len(data) // 2 - len(data) // 4) // 256 + 1)
        database.write_bytes(data)
    elif damage == "empty":
        database.write_bytes(b"")
    else:
        database.unlink()


def assert_the_same(report: poses.PoseReport, out: Path, posed: Posed) -> None:
    assert (report.registered, report.agreement) == (10, pytest.approx(posed[1].agreement, abs=0.02))
    errors = pose_errors(read_poses(out / "transforms.json"), read_poses(posed[0] / "transforms.json"))
    assert errors.photos == 10
    assert errors.position_percent_max < 0.3
