"""Layers of wide networks: PyTorch's own matrix products, in bfloat16 where that is fast."""

from __future__ import annotations

import functools
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional


def dense(input: Tensor, weight: Tensor, bias: Tensor, bf16: bool) -> Tensor:
    """``input @ weight.T + bias``: [S, O] of [S, I], [O, I] and [O]; with ``bf16`` computed and given in bfloat16.

    The weights and their gradients stay in their own precision.
    """
    if not bf16:
        return functional.linear(input, weight, bias)
    return functional.linear(input.bfloat16(), weight.bfloat16(), bias.bfloat16())


@functools.cache
def has_bf16(device: str = "cpu") -> bool:
    """Whether a device has instructions for sums of bfloat16 products; without them they are slower than float32's."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device) >= (8, 0)
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False  # no Linux
    return "avx512_bf16" in flags or "amx_bf16" in flags
