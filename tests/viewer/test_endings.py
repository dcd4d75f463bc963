"""Commands that are ended from outside: nothing half-written and no server stays behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pages import Serving

from nerfkit.cli.dispatch import ended_by_sigterm
from nerfkit.train.run import Run


def test_sigterm_ends_a_verb_as_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), ended_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_render_that_is_ended_leaves_whole_frames(vivid_run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    words = ["render", str(vivid_run.path), "--seconds", "600", "--size", "320x240", "-o", str(folder)]
    process = subprocess.Popen([sys.executable, "-m", "nerfkit.cli", *words], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while len(list(folder.glob("*.png"))) < 5 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on from there" in told and "error: interrupted" in told
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("frame_"))
    assert names == [".frame_05d.png.json"]
    assert all(path.read_bytes().endswith(b"IEND\xaeB`\x82") for path in folder.glob("*.png"))


def test_a_view_ends_with_sigterm(little_scene: Path) -> None:
    with Serving("view", str(little_scene), "--port", "0") as serving:
        serving.url()
        serving.process.send_signal(signal.SIGTERM)
        assert serving.end(interrupt=False) == (0, "")
