"""The order of points along a space-filling curve."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 1 << 20  # points at a time: what the codes are made of takes ten times their room


def morton_order(points: Tensor) -> Tensor:
    """The rows of points [N, 3] along a Z-order curve (Morton 1966): what lies together in space does so in memory.

    A tenth of a percent of the points at either end of an axis shares its outermost cell, so that far points do not
    coarsen the rest.
    """
    if len(points) == 0:
        return torch.zeros(0, dtype=torch.int64, device=points.device)
    low, high = (torch.quantile(points[:: max(1, len(points) // 100_000)], q, dim=0) for q in (0.001, 0.999))
    codes = torch.empty(len(points), dtype=torch.int64, device=points.device)
    for rows in zip(codes.split(_BLOCK), points.split(_BLOCK)):
        _put_codes(*rows, low, high)
    return torch.argsort(codes, stable=True)


def _put_codes(codes: Tensor, points: Tensor, low: Tensor, high: Tensor) -> None:
    """The places [N] along the curve of points [N, 3]."""
    cells = ((points - low) / (high - low).clamp_min(1e-9) * 65535).clamp(0, 65535).long()  # [N, 3]
    for shift, mask in ((16, 0x0000FF0000FF), (8, 0x00F00F00F00F), (4, 0x0C30C30C30C3), (2, 0x249249249249)):
        cells = (cells | (cells << shift)) & mask
    torch.add(cells[:, 0], cells[:, 1] << 1, out=codes).add_(cells[:, 2] << 2)  # their bits lie apart
