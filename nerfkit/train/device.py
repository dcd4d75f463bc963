"""Which device and render core a run uses."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING

import torch

from nerfkit.core import choose_core
from nerfkit.core.backends import obstacle, require
from nerfkit.errors import NerfkitError

if TYPE_CHECKING:
    from nerfkit.contracts import RenderCore


log = logging.getLogger("nerfkit")


def choose(device: str = "auto", backend: str = "auto") -> tuple[torch.device, RenderCore]:
    """The device and the core for it; ``auto`` takes the CPU where nerfkit's kernels for the GPU aren't built.

    Raises:
        NerfkitError: no such device or backend, or one that can't run here.
    """
    place = check(device, backend)
    return place, choose_core(backend, place)


def check(device: str = "auto", backend: str = "auto") -> torch.device:
    """The device that :func:`choose` takes, without a core to go with it.

    Raises:
        NerfkitError: no such device or backend, or one that can't run here.
    """
    place = choose_device(device)
    if device == "auto" and place.type == "cuda" and backend in ("auto", "nerfkit"):
        missing = obstacle("nerfkit", place)
        if missing is not None:
            _warn(f"the GPU is left idle: {missing}")
            place = torch.device("cpu")
    require(backend, place)
    return place


@functools.cache  # so that it is said once
def _warn(words: str) -> None:
    log.warning(words)


def choose_device(name: str = "auto") -> torch.device:
    """``auto`` is the first GPU where there is one, else the CPU.

    Raises:
        NerfkitError: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise NerfkitError(f"--device {name}: no such device; use auto, cpu, cuda or cuda:N") from None
    if device.type not in ("cpu", "cuda"):
        raise NerfkitError(f"--device {name}: nerfkit runs on cpu and cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NerfkitError(
            f"--device {name}: torch sees {torch.cuda.device_count()} GPUs here; use --device cpu (see nerfkit doctor)"
        )
    return device
