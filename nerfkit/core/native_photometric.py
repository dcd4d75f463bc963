"""The photometric loss through the library: L1 and SSIM in two sweeps, value and gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from nerfkit.core._library import call
from nerfkit.core.types import Target


def target(planes: Tensor) -> Target:
    """Prepares a photo [3, H, W] in [0, 1] for :func:`photometric_loss`."""
    mean, mean_square = torch.empty_like(planes), torch.empty_like(planes)
    call("nk_ssim_target", target=planes, mean=mean, mean_square=mean_square)
    return Target(planes, mean, mean_square)


def photometric_loss(image: Tensor, target: Target, ssim_weight: float) -> Tensor:
    """``(1 - w) mean |x - y| + w (1 - mean SSIM)`` of planes [3, H, W]; differentiable in ``image``."""
    return _Photometric.apply(image.contiguous(), target, ssim_weight)  # type: ignore[no-any-return, no-untyped-call]


class _Photometric(torch.autograd.Function):
    """The loss's gradient costs little more than its value, so that the forward pass computes both."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, target: Target, ssim_weight: float) -> Tensor:
        sums = torch.empty(2, dtype=torch.float64)
        grad = torch.empty_like(image) if image.requires_grad else None
        call(
            "nk_photometric", ssim_weight=ssim_weight, image=image.detach(), target=target.planes,
            mean=target.mean, mean_square=target.mean_square, scratch=torch.empty(3 * image.numel()), sums=sums,
            grad_image=grad,
        )  # fmt: skip
        ctx.grad = grad
        l1, similarity = sums.tolist()
        return image.new_tensor((1 - ssim_weight) * l1 + ssim_weight * (1 - similarity))

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        scale = float(grads[0])
        return ctx.grad if scale == 1 else ctx.grad * scale, None, None
