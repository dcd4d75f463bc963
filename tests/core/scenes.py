"""Random Gaussians and cameras for the operator tests."""

from __future__ import annotations

import dataclasses

import torch

from nerfkit.cameras import look_at
from nerfkit.contracts import Cameras, Gaussians

FIELDS = Gaussians.ARRAYS


def camera(width: int, height: int) -> Cameras:
    """Looks at the origin from two units away, with fx != fy and an off-centre principal point; float64."""
    eye, up = torch.tensor([0.3, -2.0, 0.5], dtype=torch.float64), torch.tensor([0, 0, 1.0], dtype=torch.float64)
    pose = look_at(eye, torch.zeros(3, dtype=torch.float64), up)[None]
    intrinsics = [[1.1 * width, 1.05 * width, 0.52 * width, 0.47 * height]]
    return Cameras(pose, torch.tensor(intrinsics, dtype=torch.float64), width, height)


def gaussians(count: int, seed: int = 0, degree: int = 3) -> Gaussians:
    """Gaussians around the origin, of all shapes and opacities, some behind the camera or outside; float64."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    return Gaussians(
        normal(count, 3) * 0.6,
        normal(count, 4),
        torch.exp(normal(count, 3) * 0.7 - 2.5),
        torch.sigmoid(normal(count) * 2),
        normal(count, (degree + 1) ** 2, 3) * 0.3,
    )


def leaves(g: Gaussians, dtype: torch.dtype) -> Gaussians:
    """Copies of another precision that collect gradients."""
    made = {name: getattr(g, name).detach().to(dtype).clone().requires_grad_() for name in FIELDS}
    return dataclasses.replace(g, **made)
