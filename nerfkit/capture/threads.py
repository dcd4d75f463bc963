"""Threads for work that Pillow, OpenCV and NumPy do outside of Python's lock."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def threads() -> Iterator[ThreadPoolExecutor]:
    """A pool of one thread a core. An exception, such as an interrupt, drops what hasn't begun."""
    pool = ThreadPoolExecutor(max(2, os.cpu_count() or 2))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
