"""The cores that operators are tested on: `@cores("nerfkit", "gsplat")` above a test that takes ``core``."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import pytest
from torch import Tensor

from core import stand_ins
from nerfkit.contracts import Gaussians
from nerfkit.core import choose_core
from nerfkit.core.backends import obstacle
from nerfkit.core.gsplat import GsplatCore
from nerfkit.core.native import NativeCore
from nerfkit.core.reference_core import ReferenceCore
from nerfkit.core.tcnn import TcnnCore
from nerfkit.core.types import SplatStats

PEERS = ("gsplat", "tcnn")  # on a GPU; "… stand-in" is the adapter on the CPU, over what stands for the package


def cores(*names: str) -> pytest.MarkDecorator:
    marked = [pytest.param(name, marks=pytest.mark.gpu if name in PEERS else ()) for name in names]
    return pytest.mark.parametrize("core", marked, indirect=True)


def make(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    if name in PEERS:
        missing = obstacle(name)
        if missing is not None:
            pytest.skip(f"{name}: {missing}")
        return OnGpu(choose_core(name, "cuda"))
    if name == "gsplat stand-in":
        monkeypatch.setitem(sys.modules, "gsplat", stand_ins.gsplat)
        return GsplatCore(NativeCore())
    if name == "tcnn stand-in":
        monkeypatch.setitem(sys.modules, "tinycudann", stand_ins.tinycudann)
        return TcnnCore(NativeCore())
    return ReferenceCore() if name == "reference" else NativeCore()


class OnGpu:
    """A core whose tensors are on the GPU, for tests whose tensors are not."""

    def __init__(self, core: Any):
        self.core, self.name = core, core.name

    def __getattr__(self, operator: str) -> Any:
        work = getattr(self.core, operator)

        def call(*args: Any, **options: Any) -> Any:
            result = work(*(_moved(arg, "cuda") for arg in args), **{k: _moved(v, "cuda") for k, v in options.items()})
            return _moved(result, "cpu")

        return call


def _moved(value: Any, device: str) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple):
        return tuple(_moved(part, device) for part in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, SplatStats):  # which is written to
        return dataclasses.replace(
            value, **{f.name: _moved(getattr(value, f.name), device) for f in dataclasses.fields(value)}
        )
    return value


def fit_for(core: Any, gaussians: Gaussians) -> Gaussians:
    """Gaussians that a core draws as all do: gsplat has other rules for opaque splats, and those that fill a pixel."""
    if core.name != "gsplat":
        return gaussians
    return dataclasses.replace(gaussians, opacities=gaussians.opacities.clamp_max(0.5))
