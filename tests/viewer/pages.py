"""Commands that serve a page, and what is seen in it."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from nerfkit.train import metrics

NOTE, PANEL = 150, 340  # pixels


class Serving:
    """A ``nerfkit`` command that serves a page; ends with Ctrl-C."""

    def __init__(self, *words: str) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "300"}
        command = [sys.executable, "-m", "nerfkit.cli", *words]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        self.told = ""

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def url(self) -> str:
        """The URL that it prints."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.told += line
            if found := re.search(r"open (http://\S+)", line):
                return found[1]
        pytest.fail(f"no URL was told: {self.told}")

    def end(self, interrupt: bool = True, timeout: float = 120) -> tuple[int, str]:
        """Its exit status and stdout, after Ctrl-C."""
        if interrupt:
            self.process.send_signal(signal.SIGINT)
        out, told = self.process.communicate(timeout=timeout)
        self.told += told
        return self.process.returncode, out


def picture(page: Any) -> np.ndarray:
    """What the page shows below its note on slow WebGL and beside its panel: [H - 150, W - 340, 3] in [0, 1]."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return np.asarray(shot)[NOTE:, : shot.width - PANEL] / 255.0


def wait_until(page: Any, holds: Callable[[np.ndarray], Any], timeout: float = 90.0) -> np.ndarray:
    """The first picture of which that holds; fails where none comes."""
    end = time.monotonic() + timeout
    while True:
        shown = picture(page)
        if holds(shown):
            return shown
        assert time.monotonic() < end, f"not seen in the page; mean {shown.mean((0, 1))}, spread {shown.std((0, 1))}"
        page.wait_for_timeout(150)


def share_like(shown: np.ndarray, color: tuple[float, float, float], tolerance: float = 0.2) -> float:
    """Which share of a picture's pixels are of a colour."""
    return float((np.abs(shown - np.array(color)) < tolerance).all(-1).mean())


def psnr(shown: np.ndarray, other: np.ndarray) -> float:
    """dB of pictures [H, W, 3] in [0, 1]."""
    return metrics.psnr(torch.from_numpy(shown), torch.from_numpy(other))
