"""The positional encoding in plain PyTorch: the definition that the kernels are tested against.

Mildenhall et al., "NeRF: Representing Scenes as Neural Radiance Fields for View Synthesis", 2020, eq. 4; Barron et al.,
"Mip-NeRF: A Multiscale Representation for Anti-Aliasing Neural Radiance Fields", 2021, eq. 14.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frequency_encode(x: Tensor, frequencies: int, variance: Tensor | None = None) -> Tensor:
    """``x``, then for each frequency j ``sin(2^j x)`` and ``cos(2^j x)``: [S, 3 + 6 frequencies] of positions [S, 3].

    There is no factor pi in the phase, as in the original code. With ``variance`` [S, 3] x is the mean of a normal
    distribution with that diagonal covariance, and the result is the mean of its encoding: each sine and cosine is
    multiplied by ``exp(-4^j variance / 2)``.
    """
    scales = 2.0 ** torch.arange(frequencies, dtype=x.dtype, device=x.device)[:, None]  # [L, 1]
    phases = x[:, None] * scales  # [S, L, 3]
    bands = torch.stack([phases.sin(), phases.cos()], 2)  # [S, L, 2, 3]
    if variance is not None:
        bands = bands * (-0.5 * scales**2 * variance[:, None]).exp()[:, :, None]
    return torch.cat([x, bands.flatten(1)], 1)
