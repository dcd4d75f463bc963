"""Threads for work that Pillow, OpenCV and NumPy do outside of Python's lock."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from nerfkit.machine import cores


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    """A pool of one thread a core, two at least, so that one reads while the other works.

    An exception, such as an interrupt, drops what hasn't begun.
    """
    pool = ThreadPoolExecutor(max(2, cores()))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
