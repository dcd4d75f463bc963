"""Progress is counted in a database by another process, which is never in pycolmap's way."""

from __future__ import annotations

from pathlib import Path

import pycolmap
import pytest

from nerfkit.poses import worker


class Heard:
    def __init__(self) -> None:
        self.counts: list[int] = []

    def __call__(self, done: int, total: int) -> None:
        assert 0 <= done <= total
        self.counts.append(done)

    def step(self, name: str, done: int, total: int) -> None:
        raise AssertionError(name)

    def say(self, line: str) -> None:
        raise AssertionError(line)


def test_a_database_can_always_be_opened_while_it_is_counted_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of sixty times it was locked, beside a counter as busy as this one."""
    monkeypatch.setattr(worker, "_COUNTER", worker._COUNTER.replace("sleep(0.25)", "sleep(0.001)"))
    database, total, heard = tmp_path / "database.db", 1500, Heard()
    with worker.counting(database, "SELECT COUNT(*) FROM cameras", total, heard):
        for _ in range(total):
            with pycolmap.Database.open(database) as filled:
                filled.write_camera(pycolmap.Camera.create_from_model_name(0, "PINHOLE", 100.0, 64, 48))
    assert heard.counts == sorted(heard.counts) and heard.counts[-1] == total and len(set(heard.counts)) > 10
    worker.settle(database)
    assert [path.name for path in tmp_path.iterdir()] == ["database.db"]
