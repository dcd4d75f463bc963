"""Fixtures every test may use: the real photos, where they are, and the bundled scene."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
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


_failed: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _failed.add(report.nodeid)


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Ends a process in which a kernel's fault has broken CUDA: every test after it would fail too.

    One of pytest-xdist's is replaced by a new one, which goes on with the rest.
    """
    if nodeid not in _failed or "torch" not in sys.modules or not cuda_is_broken():
        return
    if "PYTEST_XDIST_WORKER" in os.environ:
        os._exit(1)
    pytest.exit(f"{nodeid} has broken CUDA: nothing after it can be tested in this process", returncode=1)


def cuda_is_broken() -> bool:
    import torch

    if not torch.cuda.is_initialized():
        return False
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return True
    return False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On a pretended GPU the first three cases of a test are enough: where tensors lie doesn't depend on numbers."""
    if os.environ.get("NERFKIT_TEST_DEVICE") != "pretend":
        return
    cases: Counter[str] = Counter()
    kept, left = [], []
    for item in items:
        test = item.nodeid.partition("[")[0]
        cases[test] += 1
        (kept if cases[test] <= 3 else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


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
