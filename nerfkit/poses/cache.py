"""What is done already: one small record a stage, keyed by a hash of the stage's inputs and options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nerfkit.errors import NerfkitError
from nerfkit.files import write_text

FORMAT = 1  # counts up when what a stage stores changes its meaning


def digest(*parts: object) -> str:
    """A short hash of any values that print alike when they are alike."""
    return hashlib.sha256("\0".join([str(FORMAT), *map(str, parts)]).encode()).hexdigest()[:20]


def content_digest(paths: Iterable[Path]) -> str:
    """A hash of the files' names and bytes."""
    lines = []
    for path in paths:
        with path.open("rb") as file:
            lines.append(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}")
    return digest(*lines)


class Cache:
    """The ``.cache`` folder of a pose folder: the COLMAP database and the stages' records."""

    def __init__(self, out: Path) -> None:
        self.folder = out / ".cache"
        self.database = self.folder / "database.db"

    @staticmethod
    def claim(out: Path) -> Cache:
        """Makes ``out`` a pose folder, or takes up one.

        Raises:
            NerfkitError: ``out`` is a file, or a folder that holds something else.
        """
        if out.exists() and not out.is_dir():
            raise NerfkitError(f"{out}: is a file; choose another --out")
        cache = Cache(out)
        if out.is_dir() and any(out.iterdir()) and not cache.folder.is_dir() and not (out / "poses.json").is_file():
            raise NerfkitError(f"{out}: exists and is no pose folder; choose another --out or remove it")
        try:
            cache.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise NerfkitError(f"{out}: cannot be made ({error.strerror}); choose another --out") from None
        return cache

    def finished(self, stage: str, key: str) -> dict[str, Any] | None:
        """The record of a stage that is done for these inputs, or None."""
        record = self._read(stage)
        return record if record.get("key") == key and record.get("done") else None

    def started(self, stage: str, key: str) -> bool:
        """Whether a run for these inputs began the stage: it goes on where that was cut off."""
        return bool(self._read(stage).get("key") == key)

    def begin(self, stage: str, key: str) -> None:
        """Notes that a stage starts. What an earlier run left for other inputs must be gone by now."""
        self._write(stage, {"key": key, "done": False})

    def finish(self, stage: str, key: str, **facts: Any) -> None:
        self._write(stage, {"key": key, "done": True, **facts})

    def forget(self, *stages: str) -> None:
        for stage in stages:
            self._record(stage).unlink(missing_ok=True)

    def drop_database(self) -> None:
        """Removes the database and what was known about its contents."""
        self.forget("features", "matching")
        for file in self.folder.glob(f"{self.database.name}*"):  # with SQLite's -wal and -shm beside it
            file.unlink()

    def _record(self, stage: str) -> Path:
        return self.folder / f"{stage}.json"

    def _read(self, stage: str) -> dict[str, Any]:
        try:
            record = json.loads(self._record(stage).read_text())
        except (OSError, ValueError):
            return {}
        return record if isinstance(record, dict) else {}

    def _write(self, stage: str, record: dict[str, Any]) -> None:
        write_text(self._record(stage), json.dumps(record, indent=1) + "\n")
