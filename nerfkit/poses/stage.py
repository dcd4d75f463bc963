"""Runs stages in worker processes."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

import nerfkit
from nerfkit.errors import NerfkitError
from nerfkit.progress import ProgressSink

log = logging.getLogger("nerfkit")

VERSION = 5  # of the stages' results; another one makes them anew
_NEEDED = 32 << 20  # bytes: with less, a stage fails in words of its own, as where SQLite opens no database
_NO_SPACE = ("no space left", "disk is full", "disk quota", "errno 28")


def intact(database: Path) -> bool:
    """Whether a database is there, SQLite can read all of it, and photos are in it."""
    if not database.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            return whole and connection.execute("SELECT COUNT(*) FROM images").fetchone()[0] > 0
    except sqlite3.DatabaseError:
        return False


class Worker:
    """A process for one stage after another, which begins with the first: that it loads pycolmap only once spares a
    second. It ends with the ``with`` block, and with a stage that fails; the next one gets another."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends the process at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def run(
        self, stage: str, arguments: Mapping[str, Any], log_file: Path, progress: ProgressSink
    ) -> tuple[dict[str, Any], float]:
        """Runs one stage; gives its result and the seconds it took. The process ends with whatever ends this call
        early.

        Raises:
            NerfkitError: what the stage says about the user's input; no space left.
            RuntimeError: the stage failed or crashed; COLMAP's words are in ``log_file``.
        """
        start = time.perf_counter()
        last: dict[str, Any] = {}
        with log_file.open("w") as errors:
            if self._process is None:
                self._process = _start(errors)
        try:
            task = {"stage": stage, "arguments": dict(arguments), "log": str(log_file.resolve())}
            last = _listen(self._process, stage, task, progress)
        finally:
            if "result" not in last:
                self.end()
        if "result" in last:
            return last["result"], time.perf_counter() - start
        raise _failure(stage, last, log_file)


def run(
    stage: str, arguments: Mapping[str, Any], log_file: Path, progress: ProgressSink
) -> tuple[dict[str, Any], float]:
    """Runs one stage in a process of its own, as :meth:`Worker.run` does."""
    with Worker() as worker:
        return worker.run(stage, arguments, log_file, progress)


def _start(errors: TextIO) -> subprocess.Popen[str]:
    root = str(Path(nerfkit.__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", "nerfkit.poses.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=errors, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        start_new_session=True,
    )  # fmt: skip


def _listen(
    process: subprocess.Popen[str], stage: str, task: Mapping[str, Any], progress: ProgressSink
) -> dict[str, Any]:
    """The last answer to a task: its result, or what failed; empty where the process ended without a word."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        return {}
    for line in process.stdout:
        answer = json.loads(line)
        if "done" in answer:
            progress(answer.get("step", stage), answer["done"], answer["total"])
        elif "say" in answer:
            log.info("%s", answer["say"])
        else:
            return dict(answer)
    return {}


def _failure(stage: str, last: Mapping[str, Any], log_file: Path) -> Exception:
    words = log_file.read_text(errors="replace")[-4000:]
    error = str(last.get("error", "the process ended without a word"))
    if last.get("kind") == "user":
        return NerfkitError(error)
    full = shutil.disk_usage(log_file.parent).free < _NEEDED
    if full or any(sign in (words + error).lower() for sign in _NO_SPACE):
        return NerfkitError(
            f"{log_file.parent}: no space left; free some space and run the command again, it continues"
        )
    return RuntimeError(f"{stage}: {error}; COLMAP's log is {log_file}")
