"""Inverse transform sampling in plain PyTorch: the definition that the kernel is tested against.

Mildenhall et al., "NeRF: Representing Scenes as Neural Radiance Fields for View Synthesis", 2020, section 5.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.core._header import constants


def resample(edges: Tensor, weights: Tensor, u: Tensor) -> Tensor:
    """Distances t [R, M] at which the distribution function of a ray's density reaches u [R, M] in [0, 1).

    The density is constant within each of the N intervals between ascending ``edges`` [R, N + 1], and its integral over
    an interval is proportional to ``weights`` [R, N] plus RESAMPLE_PADDING: where all weights are zero, each interval
    gets as many samples as any other. Not differentiable. t ascends with u.
    """
    padded = weights.clamp_min(0) + constants()["RESAMPLE_PADDING"]
    until = padded.cumsum(1) / padded.sum(1, keepdim=True)  # [R, N], at each interval's end
    interval = torch.searchsorted(until[:, :-1].contiguous(), u.contiguous(), right=True)  # [R, M]
    share = padded / padded.sum(1, keepdim=True)
    along = ((u - (until - share).gather(1, interval)) / share.gather(1, interval)).clamp(0, 1)
    start, end = edges.gather(1, interval), edges.gather(1, interval + 1)
    return start + along * (end - start)
