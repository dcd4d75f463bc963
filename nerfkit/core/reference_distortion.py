"""The distortion loss in plain PyTorch: the definition that the kernel is tested against.

Barron et al., "Mip-NeRF 360: Unbounded Anti-Aliased Neural Radiance Fields", 2022, eq. 15.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor


def distortion(weights: Tensor, t_start: Tensor, t_end: Tensor, offsets: Tensor) -> Tensor:
    """``sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 (t_end - t_start)_i`` of each ray [R], m the intervals' middles.

    Args:
        weights: [S], of R rays, packed one ray after the other.
        t_start, t_end: [S], where each sample begins and ends.
        offsets: [R + 1]; ray r has the samples offsets[r] .. offsets[r + 1].
    """
    middles = (t_start + t_end) / 2
    losses = [weights.new_zeros(0)]
    for begin, end in pairwise(offsets.tolist()):
        w, m = weights[begin:end], middles[begin:end]
        apart = (w[:, None] * w * (m[:, None] - m).abs()).sum()
        within = (w.square() * (t_end - t_start)[begin:end]).sum() / 3
        losses.append((apart + within)[None])
    return torch.cat(losses)
