"""Fixtures every test may use: the real photos, where they are, and the bundled scene."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import chromium

ROOT = Path(__file__).parents[1]

# A script's background jobs, which CI may be, ignore Ctrl-C, and so would every command that the tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos (fox, lego, sceaux): ``NERFKIT_DATA``, or ``../shared/data`` beside the checkout."""
    folder = Path(os.environ.get("NERFKIT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the real photos: put them into {folder} or set NERFKIT_DATA")
    return folder


@pytest.fixture(scope="session")
def still_life() -> Path:
    """The bundled scene: photos and ground truth."""
    return ROOT / "scenes" / "still_life"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The one Chromium of this process: Playwright can't be started a second time beside itself."""
    with chromium() as started:
        yield started


@pytest.fixture(autouse=True)
def test_device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``NERFKIT_TEST_DEVICE=cuda`` runs the operators' tests on a GPU (``make gpu-test``), ``pretend`` on none.

    Theirs are tests/core, tests/mesh/test_tsdf.py and test_marching_cubes.py; the others say themselves where they run.
    """
    device = os.environ.get("NERFKIT_TEST_DEVICE")
    if not device:
        yield
        return
    from core.cores import run_on
    from pretend_gpu import pretend_gpu

    if device != "pretend":
        run_on(device, request.module, monkeypatch)
        yield
        return
    with pretend_gpu(monkeypatch):
        run_on("cuda", request.module, monkeypatch)
        yield
