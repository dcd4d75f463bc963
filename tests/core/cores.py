"""The cores that operators are tested on: `@cores("nerfkit", "gsplat")` above a test that takes ``core``."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import os
import sys
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from core import stand_ins
from nerfkit.contracts import Gaussians
from nerfkit.core import _library, choose_core, native_marching_cubes, native_tsdf
from nerfkit.core.backends import obstacle
from nerfkit.core.gsplat import GsplatCore
from nerfkit.core.hash_grid import HashGrid
from nerfkit.core.native import NativeCore
from nerfkit.core.reference_core import ReferenceCore
from nerfkit.core.tcnn import TcnnCore
from nerfkit.core.types import SplatStats

PEERS = ("gsplat", "tcnn")  # on a GPU; "… stand-in" is the adapter on the CPU, over what stands for the package


def cores(*names: str) -> pytest.MarkDecorator:
    """Cores whose kernels run on no GPU are left out where kernels are what is tested."""
    marks = dict.fromkeys(names, pytest.mark.cpu_only) | dict.fromkeys(PEERS, pytest.mark.gpu) | {"nerfkit": ()}
    return pytest.mark.parametrize("core", [pytest.param(name, marks=marks[name]) for name in names], indirect=True)


def make(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    if name in PEERS:
        missing = obstacle(name)
        if missing is not None:
            pytest.skip(f"{name}: {missing}")
        return OnDevice(choose_core(name, "cuda"), "cuda")
    if name == "gsplat stand-in":
        stand_ins.gsplat_on_the_cpu(monkeypatch)
        return GsplatCore(NativeCore())
    if name == "tcnn stand-in":
        monkeypatch.setitem(sys.modules, "tinycudann", stand_ins.tinycudann)
        return TcnnCore(NativeCore())
    if name == "reference":
        return ReferenceCore()
    device = os.environ.get("NERFKIT_TEST_DEVICE")
    return native("cuda" if device == "pretend" else device) if device else NativeCore()


class OnDevice:
    """A core whose tensors are on a device, for tests whose tensors are on the CPU: there and back, differentiably.

    What an operator wants on the host stays there; what it writes to is copied back.
    """

    def __init__(self, core: Any, device: str):
        self.core, self.device, self.name = core, device, core.name

    def __getattr__(self, operator: str) -> Any:
        work = getattr(self.core, operator)
        if operator in _WRITES:
            return functools.partial(self._writing, work, _WRITES[operator])

        def call(*args: Any, **options: Any) -> Any:
            given = inspect.signature(work).bind(*args, **options).arguments
            moved = {name: value if name in _ON_HOST else _moved(value, self.device) for name, value in given.items()}
            stats = given.get("stats")
            if stats is not None:
                moved["stats"] = self._gathering(stats, moved["gaussians"].means)
            result = _moved(work(**moved), "cpu")
            if stats is not None:  # what was added without a backward pass
                _copy_back(stats, moved["stats"])
            return result

        return call

    def _writing(self, work: Any, written: Sequence[str], *args: Any, **options: Any) -> None:
        """An operator in place."""
        given = inspect.signature(work).bind(*args, **options).arguments
        moved = {
            name: value if name in _ON_HOST else _moved(_detached(value), self.device) for name, value in given.items()
        }
        work(**moved)
        for name in written:
            for own, theirs in zip(_tensors(given[name]), _tensors(moved[name]), strict=True):
                own.detach().copy_(theirs)

    def _gathering(self, stats: SplatStats, means: Tensor) -> SplatStats:
        """Statistics on the device, which come back once a backward pass has reached the means."""
        there = SplatStats(*(tensor.to(self.device) for tensor in vars(stats).values()))
        if means.requires_grad:
            means.register_hook(lambda grad: _copy_back(stats, there))
        return there


_ON_HOST = ("lr", "background", "camera", "cameras", "cameras_")
_WRITES = {"adam": ("param", "m", "v"), "tsdf_mark": ("map",), "tsdf_integrate": ("volume",)}


def _tensors(value: Any) -> list[Tensor]:
    """Those that lie on a device: not a volume's origin."""
    parts = {"": value} if isinstance(value, Tensor) else vars(value)
    return [part for name, part in parts.items() if isinstance(part, Tensor) and name != "origin"]


def _copy_back(stats: SplatStats, there: SplatStats) -> None:
    for own, theirs in zip(vars(stats).values(), vars(there).values(), strict=True):
        own.copy_(theirs)


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, Tensor) else value


def _moved(value: Any, device: str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, dict):
        return {name: _moved(part, device) for name, part in value.items()}
    if isinstance(value, tuple):
        return tuple(_moved(part, device) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, SplatStats | HashGrid | type):
        names = [field.name for field in dataclasses.fields(value) if field.name != "origin"]
        return dataclasses.replace(value, **{name: _moved(getattr(value, name), device) for name in names})
    return value


class LibraryOnDevice:
    """The library of a device, for tests that call operators by name with arrays on the CPU."""

    def __init__(self, device: str):
        self.device = device

    def __call__(self) -> LibraryOnDevice:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(_library.library(torch.device(self.device).type), name)

    def call(self, function: str, /, **arguments: Any) -> Any:
        fields = self.fields(function)
        moved = {
            name: value.to(self.device) if isinstance(value, Tensor) and not fields[name].on_host else value
            for name, value in arguments.items()
        }
        result = _library.call(function, **moved)
        for name, value in arguments.items():
            if isinstance(value, Tensor):
                value.copy_(moved[name])
        return result


def run_on(device: str, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the cores that a test module makes, and the library that it calls, work on a device.

    The tests themselves stay as they are, on the CPU.
    """
    on_device = LibraryOnDevice(device)
    for name, stand_in in (("NativeCore", functools.partial(native, device)), ("library", on_device)):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, stand_in)
    for operators in (native_tsdf, native_marching_cubes):  # whose Python functions are themselves under test
        monkeypatch.setattr(operators, "call", on_device.call)


def native(device: str) -> Any:
    return OnDevice(NativeCore(torch.device(device).type), device)


def fit_for(core: Any, gaussians: Gaussians) -> Gaussians:
    """Gaussians that a core draws as all do: gsplat has other rules for opaque splats, and those that fill a pixel."""
    if core.name != "gsplat":
        return gaussians
    return dataclasses.replace(gaussians, opacities=gaussians.opacities.clamp_max(0.5))
