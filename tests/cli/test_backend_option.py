"""Backends as a user meets them: in real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from nerfkit.cli import main
from nerfkit.core.backends import BACKENDS

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")


def nerfkit_run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nerfkit.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})


@without_gpu
@pytest.mark.parametrize("backend", ["gsplat", "tcnn"])
def test_a_peer_without_a_gpu_is_one_line(
    backend: str, still_life: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", str(still_life), "--backend", backend, "--out", str(tmp_path / "run")]) == 2
    assert capsys.readouterr().err == (
        f"error: --backend {backend}: needs an NVIDIA GPU, and torch sees none; --backend nerfkit works without\n"
    )
    assert not (tmp_path / "run").exists()


def test_an_unknown_backend_is_one_line(still_life: Path, tmp_path: Path) -> None:
    result = nerfkit_run("train", str(still_life), "--backend", "magic", "--out", str(tmp_path / "run"))
    assert result.returncode == 2
    assert result.stderr == (
        "error: --backend magic: no such backend; choose one of auto, nerfkit, gsplat, tcnn, reference\n"
    )


@without_gpu
def test_doctor_tells_which_backends_work_and_what_others_need() -> None:
    result = nerfkit_run("doctor", "--json")
    found = json.loads(result.stdout)
    assert found["backends"] == ["nerfkit", "reference"]
    states = {name: found["checks"][f"backend {name}"]["state"] for name in BACKENDS}
    assert states == {"nerfkit": "ok", "gsplat": "missing", "tcnn": "missing", "reference": "ok"}
    assert found["checks"]["backend gsplat"]["hint"] == "needs an NVIDIA GPU, and torch sees none"
    assert "backend tcnn" in result.stderr


def test_doctor_without_the_library_tells_what_is_left() -> None:
    found = json.loads(nerfkit_run("doctor", "--json", NERFKIT_ISA="none").stdout)
    assert "nerfkit" not in found["backends"] and "reference" in found["backends"]
    assert found["checks"]["backend nerfkit"]["hint"] == "see render core"
