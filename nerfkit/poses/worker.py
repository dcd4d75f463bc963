"""Stages of pose estimation, one after another, in a process of their own: ``python -m nerfkit.poses.worker``.

It reads a line of JSON for each from stdin (``stage``, ``arguments``, and a file for COLMAP's ``log``) and answers on
stdout with lines of JSON (``done`` and ``total``, of a ``step`` that has a name, or words to ``say``, at the end
``result`` or ``error``). When stdin closes, because whoever started it was killed or needs no more, it ends as well.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sqlite3
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TextIO

from nerfkit.errors import NerfkitError

STAGES = {
    "features": "nerfkit.poses.features",
    "matching": "nerfkit.poses.matching",
    "mapping": "nerfkit.poses.mapping",
    "review": "nerfkit.poses.review",
    "output": "nerfkit.poses.output",
    "page": "nerfkit.poses.page",
    "triangulate": "nerfkit.poses.triangulate",
}


class Tell(Protocol):
    """How a stage tells what it does: how far it is, and in words what the user should know."""

    def __call__(self, done: int, total: int) -> None: ...

    def step(self, name: str, done: int, total: int) -> None:
        """How far a part of the stage is that users see under a name of its own."""

    def say(self, line: str) -> None: ...


# pycolmap brings an SQLite of its own. Two copies of SQLite must never open one database in one process: closing a
# file in the one drops the other's locks, and the process dies of SIGBUS. So another process counts.
_COUNTER = """
import os, sqlite3, sys, time
uri, query, parent = sys.argv[1], sys.argv[2], int(sys.argv[3])
while os.getppid() == parent:
    time.sleep(0.25)
    try:
        connection = sqlite3.connect(uri, uri=True, timeout=0.1)
        try:
            print(connection.execute(query).fetchone()[0], flush=True)
        finally:
            connection.close()
    except sqlite3.Error:
        continue  # not there yet, or busy
"""


@contextmanager
def counting(database: Path, query: str, total: int, tell: Tell) -> Iterator[None]:
    """Tells meanwhile what ``query`` counts in a database that pycolmap is filling, by pycolmap alone.

    A database that no one has open is locked as a whole while the first opens it and while the last closes it, and
    pycolmap fails where it meets the counter there. So it stays open.
    """
    import pycolmap

    command = [sys.executable, "-c", _COUNTER, f"{database.resolve().as_uri()}?mode=ro", query, str(os.getpid())]
    with pycolmap.Database.open(database):
        counter = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        assert counter.stdout is not None
        counts = counter.stdout

        def relay() -> None:
            for line in counts:
                tell(min(int(line), total), total)

        thread = threading.Thread(target=relay, daemon=True)
        thread.start()
        try:
            yield
        finally:
            counter.kill()
            counter.wait()
            thread.join()
            counts.close()
    tell(total, total)


def settle(database: Path) -> None:
    """Brings a database into its one file, so that it can be renamed and copied."""
    connection = sqlite3.connect(database)
    try:
        connection.execute("PRAGMA journal_mode=DELETE")
    finally:
        connection.close()


class _Answers:
    """A :class:`Tell` that writes lines of JSON."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __call__(self, done: int, total: int) -> None:
        self.send(done=done, total=total)

    def step(self, name: str, done: int, total: int) -> None:
        self.send(step=name, done=done, total=total)

    def say(self, line: str) -> None:
        self.send(say=line)

    def send(self, **message: Any) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()


def main() -> None:
    # Stages share work among their own threads; those of NumPy's BLAS would keep all cores busy waiting in between.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    answers = _Answers(os.fdopen(os.dup(1), "w"))
    tasks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_read_tasks, args=(tasks,), daemon=True).start()
    while True:
        task = json.loads(tasks.get())
        with open(task["log"], "a") as log:
            for stream in (1, 2):  # whatever a library prints goes to the log
                os.dup2(log.fileno(), stream)
        try:
            stage = importlib.import_module(STAGES[task["stage"]])
            answers.send(result=stage.work(tell=answers, **task["arguments"]))
        except Exception as error:
            traceback.print_exc()
            kind = "user" if isinstance(error, NerfkitError) else "fault"
            answers.send(error=str(error) or type(error).__name__, kind=kind)


def _read_tasks(tasks: queue.SimpleQueue[bytes]) -> None:
    """Ends the process when stdin does. Reads outside of Python's own buffered stdin, whose lock would hold up that."""
    waiting = b""
    while data := os.read(0, 1 << 16):
        *lines, waiting = (waiting + data).split(b"\n")
        for line in lines:
            tasks.put(line)
    os._exit(1)


if __name__ == "__main__":
    main()
