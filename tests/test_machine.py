"""What is found out about the machine, and what options make of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nerfkit import machine, models
from nerfkit.errors import NerfkitError
from nerfkit.machine import level_2_cache
from nerfkit.models.ngp import config as ngp
from nerfkit.train.config import TrainConfig
from nerfkit.train.run import Run


def test_cores_are_those_that_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= machine.cores() <= (os.cpu_count() or 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {3, 5, 8}, raising=False)
    assert machine.cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.cores() == 1


def write_caches(folder: Path, *caches: tuple[str, str]) -> Path:
    for index, (level, size) in enumerate(caches):
        cache = folder / f"index{index}"
        cache.mkdir(parents=True)
        (cache / "level").write_text(f"{level}\n")
        (cache / "size").write_text(f"{size}\n")
    return folder


def test_the_second_level_cache_is_read(tmp_path: Path) -> None:
    assert level_2_cache(write_caches(tmp_path / "a", ("1", "32K"), ("2", "2048K"), ("3", "32M"))) == 2 << 20
    assert level_2_cache(write_caches(tmp_path / "b", ("2", "1M"))) == 1 << 20


@pytest.mark.parametrize("caches", [(), (("2", ""),), (("2", "many"),), (("3", "32M"),)])
def test_what_the_system_does_not_tell_is_the_usual(caches: tuple[tuple[str, str], ...], tmp_path: Path) -> None:
    assert level_2_cache(write_caches(tmp_path / "caches", *caches)) == 512 << 10


@pytest.mark.parametrize(("cache", "features", "size"), [(512, 4, 15), (2048, 4, 17), (512, 2, 16), (64, 4, 14)])
def test_a_level_of_the_hash_grid_stays_in_it(
    cache: int, features: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ngp, "level_2_cache", lambda: cache << 10)
    assert ngp.Config(features=features).for_device("cpu").log2_size == size
    assert ngp.Config(features=features, log2_size=8).for_device("cpu").log2_size == 8


def test_a_gpu_gets_larger_models(monkeypatch: pytest.MonkeyPatch) -> None:
    from nerfkit.models.fields import config as fields

    monkeypatch.setattr(fields, "available_memory", lambda device: {"cpu": 4, "cuda:1": 80}[device] << 30)
    small, large = (ngp.Config(levels=4).for_device(device) for device in ("cpu", "cuda:1"))
    assert (small.memory, large.memory) == (2.0, 40.0)
    for option in ("batch", "log2_size", "finest", "width"):
        assert getattr(small, option) < getattr(large, option)
    assert large.for_device("cpu") == large  # a run goes on as it began
    assert ngp.Config(width=16).for_device("cuda:1").width == 16


@pytest.mark.parametrize(
    ("model", "own", "other"),
    [
        ("ngp", {"levels": 4, "color_layers": 0, "masks": "ignore", "exposure": "on"}, {"width": 32}),
        ("nerf", {"preset": "paper", "lr_from": 0.0, "masks": "empty", "exposure": "off"}, {"depth": 4}),
        ("gaussians", {"cap": 5, "masks": "ignore", "exposure": "on"}, {"cap": 6}),
    ],
)
def test_a_run_of_a_gpu_goes_on_elsewhere_as_it_began(
    model: str, own: dict[str, Any], other: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the options that it began with are given once more."""
    from nerfkit.models.fields import config as fields

    monkeypatch.setattr(fields, "available_memory", lambda device: (80 if device == "cuda" else 4) << 30)
    options = models.config_class(model)
    began = TrainConfig(tmp_path, model=model, model_options=options(**own)).for_device("cuda")
    began.save(tmp_path / "config.toml")
    run = Run.open(tmp_path)
    for given in ({}, own):
        resumed = run.resumed(TrainConfig(tmp_path, model=model, device="cpu", model_options=options(**given)))
        assert resumed.config.for_device("cpu").model_options == began.model_options
    with pytest.raises(NerfkitError, match=f"keeps its --{model}.{next(iter(other))};"):
        run.resumed(TrainConfig(tmp_path, model=model, device="cpu", model_options=options(**own | other)))


def test_a_run_keeps_the_size_of_the_machine_it_began_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngp, "level_2_cache", lambda: 2 << 20)
    config = TrainConfig(tmp_path, model="ngp", steps=1, model_options=models.config_class("ngp")())
    config.for_device("cpu").save(tmp_path / "c.toml")
    monkeypatch.setattr(ngp, "level_2_cache", lambda: 512 << 10)
    assert TrainConfig.open(tmp_path / "c.toml").model_options.log2_size == 17


def test_memory_of_a_container_is_what_its_groups_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 1 << 30
    (tmp_path / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable: {64 * gib >> 10} kB\n")
    job = tmp_path / "groups" / "slice" / "job"
    job.mkdir(parents=True)
    for name, place in {"_MEMORY": "meminfo", "_GROUPS": "groups", "_OWN_GROUP": "own"}.items():
        monkeypatch.setattr(machine, name, tmp_path / place)
    assert machine.available_memory() == 64 * gib  # no groups at all
    (tmp_path / "own").write_text("1:name=other:/\n0::/slice/job\n")

    def limit(place: Path, most: str, used: int, cached: int) -> None:
        (place / "memory.max").write_text(most + "\n")
        (place / "memory.current").write_text(f"{used}\n")
        (place / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\nactive_file 5\n")

    limit(job, "max", gib, 0)
    assert machine.available_memory() == 64 * gib
    limit(job.parent, str(8 * gib), 5 * gib, 2 * gib)  # of the group around it
    assert machine.available_memory() == 5 * gib
    limit(job, str(gib), 2 * gib, 0)
    assert machine.available_memory() == 0


def test_memory_of_a_container_of_older_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gib = 1 << 30
    (tmp_path / "meminfo").write_text(f"MemAvailable: {64 * gib >> 10} kB\n")
    (tmp_path / "own").write_text("12:cpuset:/elsewhere\n11:hugetlb,memory:/slurm/job\n0::/\n")
    for name, place in {"_MEMORY": "meminfo", "_GROUPS": "groups", "_OWN_GROUP": "own"}.items():
        monkeypatch.setattr(machine, name, tmp_path / place)
    job = tmp_path / "groups" / "memory" / "slurm" / "job"
    job.mkdir(parents=True)
    for place, most in ((job, 9223372036854771712), (job.parent, 8 * gib)):
        (place / "memory.limit_in_bytes").write_text(f"{most}\n")
        (place / "memory.usage_in_bytes").write_text(f"{3 * gib}\n")
        (place / "memory.stat").write_text(f"inactive_file 5\ntotal_inactive_file {gib}\n")
    assert machine.available_memory() == 6 * gib
    (tmp_path / "own").unlink()  # as seen from within some containers: their own group is the uppermost
    (job.parents[1] / "memory.limit_in_bytes").write_text(f"{2 * gib}\n")
    (job.parents[1] / "memory.usage_in_bytes").write_text(f"{gib}\n")
    (job.parents[1] / "memory.stat").write_text("total_inactive_file 0\n")
    assert machine.available_memory() == gib
