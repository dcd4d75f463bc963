"""Which device a run takes, and what is said where it can't take the one that was asked for."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from pretend_gpu import pretend_gpu

from nerfkit.core import _library
from nerfkit.errors import NerfkitError
from nerfkit.train import device

HOW = "with the CUDA toolkit's nvcc on PATH run `NERFKIT_CUDA=ON pip install .` in a checkout"
MISSING = f"libnerfkit_cuda.so is not built (nerfkit's kernels for NVIDIA GPUs); {HOW}"


@pytest.fixture
def without_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU that torch sees, and no library for it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    library, own = _library.library, _library.library()
    monkeypatch.setattr(_library, "_search_folders", list)
    monkeypatch.setattr(_library, "library", lambda kind="cpu": own if kind == "cpu" else library.__wrapped__(kind))
    device._warn.cache_clear()


@pytest.mark.skipif(torch.cuda.is_available(), reason="pretends a GPU where there is one")
def test_auto_takes_a_gpu_that_there_are_kernels_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch):
        place, core = device.choose()
        assert (place.type, core.name) == ("cuda", "nerfkit")
        assert device.choose("cuda:0", "nerfkit")[1].name == "nerfkit"
        with pytest.raises(NerfkitError, match="--device cuda:1: torch sees 1 GPUs here"):
            device.choose("cuda:1")


@pytest.mark.parametrize("backend", ["auto", "nerfkit"])
def test_auto_leaves_a_gpu_idle_without_kernels_and_says_how_to_get_them(
    backend: str, without_kernels: None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="nerfkit"):
        for _ in range(2):
            assert device.check("auto", backend) == torch.device("cpu")
    assert [record.getMessage() for record in caplog.records] == [f"the GPU is left idle: {MISSING}"]


def test_a_gpu_without_kernels_is_refused_or_left_to_pytorch(
    without_kernels: None, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(NerfkitError) as refused:
        device.choose("cuda", "nerfkit")
    assert str(refused.value) == MISSING
    with caplog.at_level(logging.WARNING, logger="nerfkit"):
        place, core = device.choose("cuda")
    assert (place.type, core.name) == ("cuda", "reference")
    assert caplog.records[0].getMessage().startswith(MISSING)
    assert device.check("auto", "reference").type == "cuda"


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_without_a_gpu() -> None:
    assert device.choose()[0] == torch.device("cpu")
    with pytest.raises(NerfkitError, match="--device cuda: torch sees 0 GPUs here; use --device cpu"):
        device.choose("cuda")
    with pytest.raises(NerfkitError, match="--device mps: nerfkit runs on cpu and cuda"):
        device.choose("mps")


def test_libraries_are_looked_for_where_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libnerfkit_cuda.so").touch()
    monkeypatch.setenv("NERFKIT_LIBRARIES", str(tmp_path))
    assert _library._find("cuda", "") == tmp_path / "libnerfkit_cuda.so"
