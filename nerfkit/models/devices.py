"""What models need to work on a GPU: random numbers drawn there, and constants that nothing waits for."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


def generator_on(device: torch.device, rng: torch.Generator) -> torch.Generator:
    """A generator for large draws on a device: ``rng`` itself on its own, else one that ``rng`` seeds.

    So that the state of ``rng``, which lives on the CPU, is all that a checkpoint needs.
    """
    if rng.device.type == device.type:
        return rng
    return torch.Generator(device).manual_seed(seed_of(rng))


def seed_of(rng: torch.Generator) -> int:
    """A number for another generator to begin with, drawn from one on the CPU."""
    return int(torch.randint(1 << 62, (), generator=rng))


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A small tensor of the CPU on a device. Nothing waits for its way there, as for that of any other."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def constant(numbers: tuple[float, ...] | tuple[tuple[float, ...], ...], like: Tensor) -> Tensor:
    """A tensor of fixed numbers beside another one, sent to its device once. Not to be written to."""
    return _constant(numbers, like.device, like.dtype)


@functools.lru_cache(maxsize=64)
def _constant(numbers: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(numbers, device=device, dtype=dtype)
