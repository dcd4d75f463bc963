"""COLMAP's long calls: run so that progress shows and Ctrl-C ends them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pycolmap

POLL_SECONDS = 0.2
CANCEL_SECONDS = 5.0


def run(work: Callable[[pycolmap.CancellationToken], None], poll: Callable[[], None] = lambda: None) -> None:
    """Runs ``work`` in a thread, calling ``poll`` a few times a second.

    An exception here, KeyboardInterrupt above all, cancels the work; an exception in ``work`` is raised here.
    """
    import pycolmap

    token = pycolmap.CancellationToken()
    errors: list[BaseException] = []

    def body() -> None:
        try:
            work(token)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body, name="colmap", daemon=True)  # a daemon, so that nothing delays the exit
    thread.start()
    try:
        while thread.is_alive():
            thread.join(POLL_SECONDS)
            poll()
    except BaseException:
        token.cancel()
        thread.join(CANCEL_SECONDS)
        raise
    if errors:
        raise errors[0]


@contextmanager
def silent() -> Iterator[None]:
    """COLMAP says nothing on stderr but what ends the process."""
    import pycolmap

    before = pycolmap.logging.minloglevel
    pycolmap.logging.minloglevel = int(pycolmap.logging.FATAL)
    try:
        yield
    finally:
        pycolmap.logging.minloglevel = before


def count(database: Path, table: str) -> int:
    """Rows of a table, read beside whoever writes it."""
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
    except sqlite3.OperationalError:  # locked for the moment
        return 0


def is_sound(database: Path) -> bool:
    """Whether the file is a COLMAP database that SQLite finds no fault with."""
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=rw", uri=True)) as connection:
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            return {"images", "keypoints", "two_view_geometries"} <= tables and (
                connection.execute("PRAGMA quick_check").fetchone()[0] == "ok"
            )
    except sqlite3.DatabaseError:
        return False
