"""Remembers which stages of a long command are done, and with what inputs, so that a second one goes on from there."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nerfkit.files import write_text


def key_of(**inputs: Any) -> str:
    """A hash of everything that a stage's result depends on."""
    return hashlib.blake2b(json.dumps(inputs, sort_keys=True).encode(), digest_size=16).hexdigest()


class Cache:
    """The records of finished stages: ``<stage>.json`` with the key, the seconds it took and its result."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, stage: str, key: str) -> dict[str, Any] | None:
        """The record of a stage that was finished with the same inputs."""
        try:
            record = json.loads((self.folder / f"{stage}.json").read_text())
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and record.get("key") == key else None

    def has(self, stage: str) -> bool:
        """Whether there is a record of a stage, whatever its inputs were."""
        return (self.folder / f"{stage}.json").is_file()

    def put(self, stage: str, key: str, seconds: float, result: Mapping[str, Any]) -> dict[str, Any]:
        record = {"key": key, "seconds": round(seconds, 2), "result": dict(result)}
        write_text(self.folder / f"{stage}.json", json.dumps(record, indent=1))
        return record

    def drop(self, stage: str) -> None:
        (self.folder / f"{stage}.json").unlink(missing_ok=True)

    def log(self, stage: str) -> Path:
        return self.folder / f"{stage}.log"

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """A folder for what is not finished yet; those of killed runs go."""
        for stale in self.folder.glob("work-*"):
            shutil.rmtree(stale, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix="work-", dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
