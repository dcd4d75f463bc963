"""The CUDA kernels on a CPU, as libraries for the tests: compiled by g++ (`make emulated`) or by nvcc (`make ptx`)."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILED = ("emulated", "races")  # by g++: under sanitizers, and watched for races
KINDS = (*COMPILED, pytest.param("ptx", marks=pytest.mark.ptx))  # parameters of tests
_BUILT_BY = {
    "emulated": ("emulated", "build/emulated", ["make", "g++"]),
    "races": ("emulated", "build/emulated", ["make", "g++"]),
    "ptx": ("ptx", "build/ptx90", ["make", "g++", "nvcc"]),
}
_INSTALL = {"nvcc": "the CUDA toolkit, 12 or newer", "make": "apt-get install make", "g++": "apt-get install g++"}


def build(kind: str) -> Path:
    """The library of this kind, up to date; skips the test where it can't be built."""
    target, _, tools = _BUILT_BY[kind]
    for tool in tools:
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: {_INSTALL[tool]}")
    with (ROOT / "build" / f"{target}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        made = subprocess.run(["make", "-j2", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-3000:]
    return library(kind)


def library(kind: str) -> Path:
    return ROOT / _BUILT_BY[kind][1] / f"libnerfkit_{kind}.so"


def environment(kind: str) -> dict[str, str]:
    """Of a process whose core is such a library.

    AddressSanitizer has to come before all other libraries, and before it the exceptions that it watches.
    """
    own = {**os.environ, "NERFKIT_LIBRARY": str(library(kind))}
    if kind != "emulated":
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
