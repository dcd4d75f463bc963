"""What a photo asks of Gaussians, by any core's rasterizer and loss: what ``photo_step`` is defined by."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.contracts import Cameras, Gaussians, RenderCore
from nerfkit.core.types import PhotoStep, SplatStats, Target


def composed_photo_step(
    core: RenderCore, gaussians: Gaussians, camera: Cameras, background: Tensor, target: Target, ssim_weight: float, *,
    near: float = 0.01, stats: SplatStats | None = None,
) -> PhotoStep:  # fmt: skip
    """See :class:`nerfkit.core.native_photo_step.PhotoSteps`; its loss and gradients are those that autograd finds."""
    leaves = {name: getattr(gaussians, name).detach().requires_grad_() for name in Gaussians.ARRAYS}
    with torch.enable_grad():
        drawn = core.rasterize(
            Gaussians(**leaves, antialiased=gaussians.antialiased), camera, background, near=near, stats=stats
        )
        loss = core.photometric_loss(drawn.image, target, ssim_weight)
        found = torch.autograd.grad(loss, list(leaves.values()), materialize_grads=True)
    gradients = dict(zip(leaves, found, strict=True))
    assert drawn.in_view is not None
    return PhotoStep(loss.detach(), gradients, drawn.in_view)
