"""What a log says of long work: how far it is, how fast, and what is left."""

from __future__ import annotations

import io
import itertools
import re
import sys
import threading

import pytest
from rich.console import Console as RichConsole

from nerfkit import progress
from nerfkit.cli import console


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_rate_is_a_recent_one() -> None:
    clock = Clock()
    pace = progress.Pace(clock)
    assert pace.rate is None and pace.left(10) is None
    for done in range(1, 11):  # slow at first, as caches fill
        pace.report(done)
        clock.now += 10
    assert pace.rate == pytest.approx(0.1) and pace.left(30) == pytest.approx(200)
    for done in range(12, 100, 2):
        pace.report(done)
        clock.now += 1
    assert pace.rate == pytest.approx(2, rel=0.05) and pace.left(198) == pytest.approx(50, rel=0.05)
    assert pace.seconds == pytest.approx(144)
    pace.report(98)  # it stalls: that counts
    clock.now += 20
    pace.report(98)
    assert pace.rate is not None and pace.rate < 1.3


def test_reports_at_the_same_moment() -> None:
    pace = progress.Pace(Clock())
    for done in range(5):
        pace.report(done)
    assert pace.rate is None and pace.left(9) is None


def test_lines_of_a_log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(console, "Pace", lambda: progress.Pace(clock))
    shown = console.Console()
    for done in range(1, 1801):  # an hour of frames
        shown.progress("frames", done, 1800)
        clock.now += 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "frames: 1/1800" and lines[1] == "frames: 6/1800, 2.0 s each, 59:48 left"
    assert lines[-1] == "frames: 1800/1800, 2.0 s each"
    assert 60 < len(lines) < 120
    counts = [int(re.match(r"frames: (\d+)/", line)[1]) for line in lines]  # type: ignore[index]
    assert counts == sorted(set(counts)) and max(b - a for a, b in itertools.pairwise(counts)) <= 31
    for done in (1, 40, 80):  # the same stage again
        shown.progress("frames", done, 80)
        clock.now += 10
    assert capsys.readouterr().err.splitlines() == [
        "frames: 1/80", "frames: 40/80, 3.9/s, 0:10 left", "frames: 80/80, 4.0/s",
    ]  # fmt: skip
    for view in range(4):  # short ones of a name, and a long one
        for done in range(1, 4):
            shown.progress("pixels", done, 3)
            clock.now += 1 if view < 3 else 8
    assert capsys.readouterr().err.splitlines() == [
        "pixels: 1/3", "pixels: 3/3, 1.0/s", "pixels: 3/3, 8.0 s each",
    ]  # fmt: skip
    console.Console(quiet=True).progress("frames", 1, 2)
    assert not capsys.readouterr().err


def test_a_warning_amid_progress_from_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    shown, faults = console.Console(), []
    shown.rich = RichConsole(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(threading, "excepthook", lambda args: faults.append(args.exc_value))

    def work() -> None:
        for done in range(3000):
            shown.progress("frames", done, 3000)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        writer = threading.Thread(target=work)
        writer.start()
        while writer.is_alive():
            shown.warn("something")
        writer.join()
    finally:
        sys.setswitchinterval(before)
        shown.close_bars()
    assert faults == []
