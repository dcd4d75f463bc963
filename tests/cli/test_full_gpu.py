"""A GPU without memory left is the user's to mend: one line, no traceback."""

from __future__ import annotations

import pytest
import torch

from nerfkit.cli import doctor
from nerfkit.cli.dispatch import dispatch


def test_a_full_gpu_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def run(options: object, console: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(doctor, "run", run)
    assert dispatch("doctor", []) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: the GPU's memory is full; ") and "--device cpu" in said and said.count("\n") == 1
