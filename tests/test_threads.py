"""Work that threads do ahead."""

from __future__ import annotations

import time
from contextlib import closing

import pytest
import torch

from nerfkit.threads import MOST_PIXELS, in_order, pictures_at_once


def test_what_threads_make_comes_in_order_and_not_too_early() -> None:
    started: list[int] = []

    def one(item: int) -> str:
        started.append(item)
        time.sleep(0.02 if item % 3 == 0 else 0.001)  # later ones are done before
        return str(item)

    for number, made in enumerate(in_order(one, range(5, 25), 3)):
        assert made == str(5 + number)
        assert len(started) <= number + 1 + 4
    assert sorted(started) == list(range(5, 25))
    before = torch.get_num_threads()
    started.clear()
    with pytest.raises(ZeroDivisionError):
        list(in_order(lambda item: one(item) if item < 3 else 1 / 0, range(1000), 2))
    assert len(started) <= 3 and torch.get_num_threads() == before


def test_what_is_not_wanted_any_more_is_dropped() -> None:
    started: list[int] = []
    with closing(in_order(lambda item: started.append(item), range(1000), 2)) as made:
        next(made)
    assert len(started) <= 5
    time.sleep(0.05)
    assert len(started) <= 5


def test_large_pictures_are_worked_on_one_by_one() -> None:
    assert pictures_at_once(MOST_PIXELS) == pictures_at_once(10 * MOST_PIXELS) == 1
    assert pictures_at_once(MOST_PIXELS // 2) == min(2, torch.get_num_threads())
