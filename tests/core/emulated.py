"""The emulated libraries of the CUDA kernels: `make emulated`, and the processes that load them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build" / "emulated"
KINDS = ("emulated", "races")


def build() -> Path:
    """The folder of the emulated libraries, up to date; skips the test where they can't be built."""
    for tool in ("make", "g++"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: apt-get install {tool}")
    made = subprocess.run(["make", "emulated"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-3000:]
    return BUILD


def environment(kind: str) -> dict[str, str]:
    """Of a process whose core is an emulated library.

    AddressSanitizer has to come before all other libraries, and before it the exceptions that it watches.
    """
    own = {**os.environ, "NERFKIT_LIBRARY": str(BUILD / f"libnerfkit_{kind}.so")}
    if kind == "races":
        return own
    preloaded = [_compilers_library("libasan.so"), _compilers_library("libstdc++.so.6")]
    return {
        **own,
        "LD_PRELOAD": " ".join(preloaded),
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",  # aborting shows which test it was
        "UBSAN_OPTIONS": "print_stacktrace=1:abort_on_error=1",
    }


def _compilers_library(name: str) -> str:
    found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()
