"""Operators on a GPU that is pretended: what their Python side makes must lie where their arrays do."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pretend_gpu import OnGpu, pretend_gpu

from core.test_backends import OFFSETS, rand
from core.test_emulation import LARGE
from nerfkit.core import choose_core
from nerfkit.core._library import Library, library

ROOT = Path(__file__).parents[2]
TESTS = ["tests/mesh/test_tsdf.py", "tests/mesh/test_marching_cubes.py", *(f"tests/core/test_{name}.py" for name in (
    "composite", "distortion", "draw_mesh", "frequency_encode", "losses_and_adam", "march", "missed", "opacity",
    "photo_colors", "photo_step", "rays", "ray_samples", "resample", "sh_encode",
))]  # fmt: skip
pytestmark = [
    pytest.mark.cpu_only,
    pytest.mark.skipif(torch.cuda.is_available(), reason="pretends a GPU where there is one"),
]


@pytest.mark.slow
def test_operators_tests_pass_there() -> None:
    """Also that they can be run on any device: `make gpu-test` does so."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not (cpu_only or gpu)", *TESTS, *LARGE],
        env={**os.environ, "NERFKIT_TEST_DEVICE": "pretend"}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-6000:]
    assert int(result.stdout.rsplit(" passed", 1)[0].split()[-1]) > 120, "too few tests have run to prove anything"


def test_results_and_gradients_lie_with_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch):
        core = choose_core("nerfkit", "cuda")
        alphas = rand(22).to("cuda").requires_grad_()
        results = core.composite(alphas, rand(22, 3).to("cuda"), OFFSETS.to("cuda"))
        results[0].sum().backward()
        assert all(isinstance(result, OnGpu) for result in (*results, alphas.grad))


def test_arrays_of_two_devices_are_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pretend_gpu(monkeypatch):
        core = choose_core("nerfkit", "cuda")
        param, grad, m, v = (torch.zeros(4, device="cuda") for _ in range(4))
        core.adam(param, grad, m, v, 1, torch.tensor([0.1]), (0.9, 0.999), 1e-8)
        with pytest.raises(ValueError, match="nk_adam: lr must be on cpu, got cuda:0"):
            core.adam(param, grad, m, v, 1, torch.tensor([0.1], device="cuda"), (0.9, 0.999), 1e-8)
        with pytest.raises(ValueError, match="nk_adam: param must be on cpu, got cuda:0"):
            core.adam(param, grad.cpu(), m, v, 1, torch.tensor([0.1]), (0.9, 0.999), 1e-8)


def test_the_cpus_library_takes_no_other_devices_arrays() -> None:
    arrays = {name: torch.empty(3, 4, 5, device="meta") for name in ("target", "mean", "mean_square")}
    with pytest.raises(ValueError, match="nk_ssim_target: arrays on meta were given to the library libnerfkit_"):
        library().call("nk_ssim_target", threads=1, **arrays)


def test_threads_on_one_stream_take_turns_with_its_scratch_memory() -> None:
    """An operator's second kernel would else read what another thread's operator put there between the two."""
    inside, most = [], []

    def operator(params: Any) -> int:
        inside.append(params)
        most.append(len(inside))
        time.sleep(0.01)  # a foreign function: other threads run
        inside.pop()
        return 0

    gpus = Library.__new__(Library)
    nothing = lambda *_: None  # noqa: E731
    gpus._dll = SimpleNamespace(nk_use_stream=nothing, nk_use_scratch=nothing)  # type: ignore[assignment]
    gpus._scratch, gpus._launching = {}, threading.Lock()
    arguments = (SimpleNamespace(function=operator), library()._operators["nk_adam"].structure(), -1)
    threads = [threading.Thread(target=gpus._run_on_gpu, args=arguments) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
