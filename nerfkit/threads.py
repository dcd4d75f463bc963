"""Threads for work that PyTorch, Pillow, OpenCV and NumPy do outside of Python's lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from nerfkit.machine import cores

MOST_AT_ONCE = 4  # pictures that are worked on at the same time…
MOST_PIXELS = 1 << 24  # …and the pixels in them: one or two gigabytes

_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


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


def pictures_at_once(pixels: int) -> int:
    """How many pictures to work on at the same time: threads that share one wait for each other at every step of it.

    Args:
        pixels: of a picture, the largest one.
    """
    import torch  # not for all who read photos

    return max(1, min(MOST_AT_ONCE, torch.get_num_threads(), MOST_PIXELS // pixels))


def in_order(one: Callable[[_Item], _Made], items: Iterable[_Item], at_once: int) -> Generator[_Made]:
    """What ``one`` makes of the items, some of it made ahead by threads, which share PyTorch's cores.

    To be closed if it isn't used up: what hasn't begun is dropped.
    """
    if at_once == 1:
        yield from map(one, items)
        return
    import torch

    share = max(1, torch.get_num_threads() // at_once)
    with ThreadPoolExecutor(at_once, initializer=lambda: torch.set_num_threads(share)) as pool:
        ahead: deque[Future[_Made]] = deque()
        try:
            for item in items:
                ahead.append(pool.submit(one, item))
                if len(ahead) > at_once:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
