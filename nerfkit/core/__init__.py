"""The shared render core: which backend does the work."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from nerfkit.core.backends import obstacle, require

if TYPE_CHECKING:
    import torch

    from nerfkit.contracts import RenderCore

log = logging.getLogger("nerfkit")


def choose_core(backend: str = "auto", device: torch.device | str = "cpu") -> RenderCore:
    """The render core for a backend name and a device.

    ``auto`` is nerfkit's own where its library is there for the device, else the reference, with a warning. What
    gsplat and tiny-cuda-nn don't do is done by the core that ``auto`` gives.

    Raises:
        NerfkitError: no such backend, a device the backend has no kernels for, or a library or package that is missing.
    """
    require(backend, device)
    if backend != "auto":
        return _make(backend, device)
    found = obstacle("nerfkit", device)
    if found is None:
        return _make("nerfkit", device)
    log.warning("%s; meanwhile PyTorch's own operators do its work, which is slow", found)
    return _make("reference", device)


def _make(backend: str, device: torch.device | str) -> RenderCore:
    if backend == "gsplat":
        from nerfkit.core.gsplat import GsplatCore

        return GsplatCore(choose_core("auto", device))
    if backend == "tcnn":
        from nerfkit.core.tcnn import TcnnCore

        return TcnnCore(choose_core("auto", device))
    if backend == "reference":
        from nerfkit.core.reference_core import ReferenceCore

        return ReferenceCore()
    from nerfkit.core.native import NativeCore

    return NativeCore(str(device).partition(":")[0])
