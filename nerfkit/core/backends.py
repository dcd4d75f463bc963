"""Which backends there are, and what stands in the way of each of them here."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from nerfkit.errors import NerfkitError

if TYPE_CHECKING:
    import torch

BACKENDS = {
    "nerfkit": "the default: nerfkit's own kernels, on the CPU or an NVIDIA GPU",
    "gsplat": "gsplat rasterizes; nerfkit does the rest",
    "tcnn": "tiny-cuda-nn encodes and runs small networks; nerfkit does the rest",
    "reference": "PyTorch's own operators, on any device: slow, to check the others with",
}


def require(backend: str, device: torch.device | str = "auto") -> None:
    """Raises NerfkitError: no such backend, or one that can't run on the device; ``auto`` always can."""
    if backend not in ("auto", *BACKENDS):
        raise NerfkitError(f"--backend {backend}: no such backend; choose one of {', '.join(('auto', *BACKENDS))}")
    found = None if backend == "auto" else obstacle(backend, device)
    if found is not None:
        raise NerfkitError(
            found if backend == "nerfkit" else f"--backend {backend}: {found}; --backend nerfkit works without"
        )


def obstacle(backend: str, device: torch.device | str = "auto") -> str | None:
    """Why a backend can't run on a device, and what to do about it; None where it can. ``auto``: on any device here."""
    kind = str(device).partition(":")[0]
    if backend == "nerfkit":
        return _of_nerfkit("cpu" if kind == "auto" else kind)
    if backend in ("gsplat", "tcnn"):
        return _of_peer(backend, kind)
    return None


def _of_nerfkit(kind: str) -> str | None:
    from nerfkit.core._library import library

    if kind not in ("cpu", "cuda"):
        return f"--device {kind}: nerfkit's kernels run on cpu and cuda"
    try:
        library(kind)
    except NerfkitError as error:
        return str(error)
    return None


def _of_peer(backend: str, kind: str) -> str | None:
    import torch

    if not torch.cuda.is_available():
        return "needs an NVIDIA GPU, and torch sees none"
    if kind not in ("cuda", "auto"):
        return f"runs on NVIDIA GPUs, not on --device {kind}"
    return _of_gsplat() if backend == "gsplat" else _of_tcnn()


def _of_gsplat() -> str | None:
    found = importlib.util.find_spec("gsplat")
    if found is None:
        return "gsplat is not installed: pip install 'nerfkit[gsplat]'"
    compiled = any(True for folder in found.submodule_search_locations or () for _ in Path(folder).glob("csrc*.so"))
    if not compiled and shutil.which("nvcc") is None:
        return (
            "gsplat compiles its kernels at first use and finds no nvcc: install the CUDA toolkit, or a wheel that has "
            "them from https://docs.gsplat.studio/whl"
        )
    return None


def _of_tcnn() -> str | None:
    if importlib.util.find_spec("tinycudann") is not None:
        return None
    return (
        "tiny-cuda-nn is not installed, and not on PyPI: with nvcc and torch there, pip install --no-build-isolation "
        "'git+https://github.com/NVlabs/tiny-cuda-nn#subdirectory=bindings/torch'"
    )
