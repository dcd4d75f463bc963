"""Unit quaternions by their three smallest components, as compressed splat files store them."""

from __future__ import annotations

import torch
from torch import Tensor

_OTHERS = torch.tensor([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])  # the components beside each largest one
HALF_SQRT_2 = 0.5**0.5  # no component but the largest can be larger


def smallest_three(quats: Tensor) -> tuple[Tensor, Tensor]:
    """Index [N] of the largest component, and the others [N, 3] in order, of the quaternions [N, 4], of any length.

    q and -q are the same rotation: the one whose largest component is positive is meant.
    """
    unit = torch.nn.functional.normalize(quats.double(), dim=1)
    largest = unit.abs().argmax(1)
    sign = unit.gather(1, largest[:, None]).sign()
    return largest, (unit * sign).gather(1, _OTHERS[largest]).float()


def from_smallest_three(largest: Tensor, others: Tensor) -> Tensor:
    """The unit quaternions [N, 4] of what :func:`smallest_three` gives."""
    out = torch.empty(len(largest), 4)
    out.scatter_(1, _OTHERS[largest], others)
    rest = (1 - others.square().sum(1, keepdim=True)).clamp_min(0).sqrt()
    return out.scatter_(1, largest[:, None], rest)
