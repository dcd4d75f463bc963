"""Headless Chromium with WebGL in software, driven by Playwright; and commands that serve a page."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

WEBGL = ("--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")


@contextlib.contextmanager
def open_browser() -> Iterator[Any]:
    """Playwright's ``Browser``."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    program = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("needs headless Chromium: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=list(WEBGL))
        yield browser
        browser.close()


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

    def end(self, interrupt: bool = True, timeout: float = 60) -> tuple[int, str]:
        """Its exit status and stdout, after Ctrl-C."""
        if interrupt:
            self.process.send_signal(signal.SIGINT)
        out, told = self.process.communicate(timeout=timeout)
        self.told += told
        return self.process.returncode, out


def picture(page: Any) -> np.ndarray:
    """What the page shows beside its panel: [H, W, 3] floats in [0, 1]."""
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    return np.asarray(shot)[:, : shot.width - 340] / 255.0


def wait_until_shown(page: Any, timeout: float = 30.0) -> np.ndarray:
    """The first picture that isn't of one colour."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        shown = picture(page)
        if shown.std(axis=(0, 1)).max() > 0.05:
            return shown
        page.wait_for_timeout(200)
    pytest.fail("the page stays blank")


def save(page: Any, path: Path) -> None:
    page.screenshot(path=str(path))
