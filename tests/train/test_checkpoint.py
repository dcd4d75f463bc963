from __future__ import annotations

import json
import logging
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError

from nerfkit import tensor_file
from nerfkit.errors import NerfkitError
from nerfkit.train import checkpoint
from nerfkit.train.checkpoint import Checkpoint, list_newest_first, load, load_newest, save


def some_state(size: int = 5) -> dict[str, Any]:
    weights = torch.arange(2.0 * size, requires_grad=True)
    return {
        "weights": weights,
        "same": weights,
        "view": weights[1:3],
        "turned": torch.arange(6).reshape(2, 3).T,
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(7, dtype=torch.int64),
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"betas": (0.9, 0.999), "lr": 0.1}]},
        "words": ["a", None, True, 1.5],
        "with": {"slash": torch.ones(1)},
        "with/slash": torch.zeros(1),
    }


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(equal, a, b))
    return type(a) is type(b) and bool(a == b)


def test_state_survives(tmp_path: Path) -> None:
    path = save(tmp_path, Checkpoint("toy", 12, some_state()))
    assert path.name == "step_000012.safetensors"
    read = load(path)
    assert (read.model, read.step) == ("toy", 12)
    assert equal(read.state, some_state())


def test_equal_states_are_equal_bytes(tmp_path: Path) -> None:
    first = save(tmp_path / "a", Checkpoint("toy", 12, some_state()))
    second = save(tmp_path / "b", Checkpoint("toy", 12, some_state()))
    assert first.read_bytes() == second.read_bytes()


def test_foreign_values_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"\['model/path'\] is a PosixPath"):
        save(tmp_path, Checkpoint("toy", 1, {"model": {"path": tmp_path}}))
    assert list(tmp_path.iterdir()) == []


def test_keeps_the_newest_two(tmp_path: Path) -> None:
    for step in (1, 2, 1_000_000, 999_999):
        save(tmp_path, Checkpoint("toy", step, {}))
    names = [path.name for path in list_newest_first(tmp_path)]
    assert names == ["step_1000000.safetensors", "step_999999.safetensors"]


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_truncated(tmp_path: Path, length: int, caplog: pytest.LogCaptureFixture) -> None:
    good = save(tmp_path, Checkpoint("toy", 1, some_state()))
    bad = save(tmp_path, Checkpoint("toy", 2, some_state()))
    bad.write_bytes(bad.read_bytes()[:length])
    with pytest.raises(NerfkitError, match=rf"{bad}: truncated or damaged .* delete it .* --overwrite"):
        load(bad)
    with caplog.at_level(logging.WARNING, "nerfkit"):
        assert load_newest(tmp_path).step == 1
    assert f"{bad}: truncated or damaged" in caplog.text
    assert f"going on from {good.name}" in caplog.text
    good.unlink()
    with pytest.raises(NerfkitError, match=str(bad)):
        load_newest(tmp_path)


def test_other_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "VERSION", 2)
    path = save(tmp_path, Checkpoint("toy", 1, some_state()))
    monkeypatch.undo()
    with pytest.raises(NerfkitError, match=r"checkpoint format 2, this nerfkit reads format 1; use the nerfkit that"):
        load(path)


@pytest.mark.parametrize("metadata", [{}, {"nerfkit": "nonsense"}, {"nerfkit": "[]"}, {"nerfkit": '{"version": 1}'}])
def test_files_of_others(tmp_path: Path, metadata: dict[str, str]) -> None:
    header = json.dumps({"__metadata__": metadata}).encode()
    (tmp_path / "step_000001.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(NerfkitError, match=r"step_000001.*: (not a nerfkit|truncated or damaged) checkpoint"):
        load_newest(tmp_path)


def test_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NerfkitError, match="no checkpoint yet"):
        load_newest(tmp_path / "checkpoints")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_no_space_left(small_disk: Path) -> None:
    good = save(small_disk, Checkpoint("toy", 1, some_state()))
    with pytest.raises(NerfkitError, match=r"step_000002\.safetensors: no space left"):
        save(small_disk, Checkpoint("toy", 2, some_state(100_000)))
    assert list(small_disk.iterdir()) == [good]
    assert load_newest(small_disk).step == 1


def test_what_a_killed_save_leaves_is_removed_by_the_next(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from nerfkit import tensor_file
from nerfkit.train.checkpoint import Checkpoint, save
write = tensor_file.save_file
def killed(tensors, path, metadata):
    write(tensors, path, metadata)
    os.kill(os.getpid(), 9)
tensor_file.save_file = killed
save(Path(sys.argv[1]), Checkpoint("toy", 2, {}))
"""
    good = save(tmp_path, Checkpoint("toy", 1, some_state()))
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    assert len(list(tmp_path.iterdir())) > 1
    assert load_newest(tmp_path).step == 1
    newer = save(tmp_path, Checkpoint("toy", 3, some_state()))
    assert set(tmp_path.iterdir()) == {good, newer}


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    """safetensors writes files that only their owner may read."""
    plain = tmp_path / "plain"
    plain.touch()
    assert save(tmp_path / "checkpoints", Checkpoint("toy", 1, some_state())).stat().st_mode == plain.stat().st_mode


def test_no_permission_is_the_users_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: Permission denied (os error 13) at path x")

    monkeypatch.setattr(tensor_file, "save_file", refuse)
    with pytest.raises(NerfkitError, match=r"step_000001\.safetensors: cannot be written \(Permission denied\)"):
        save(tmp_path, Checkpoint("toy", 1, some_state()))
    assert not list(tmp_path.iterdir())
