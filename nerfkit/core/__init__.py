"""The shared render core: which backend does the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nerfkit.errors import NerfkitError

if TYPE_CHECKING:
    import torch

    from nerfkit.core.native import NativeCore

BACKENDS = ("auto", "nerfkit")


def choose_core(backend: str = "auto", device: torch.device | str = "cpu") -> NativeCore:
    """The render core for a backend name and a device.

    Raises:
        NerfkitError: no such backend, a device the backend has no kernels for, or a library that is not built.
    """
    if backend not in BACKENDS:
        raise NerfkitError(f"--backend {backend}: no such backend; choose one of {', '.join(BACKENDS)}")
    if str(device) not in ("cpu", "auto"):
        raise NerfkitError(f"--device {device}: the render core has kernels for the CPU only so far; use --device cpu")
    from nerfkit.core.native import NativeCore

    return NativeCore()
