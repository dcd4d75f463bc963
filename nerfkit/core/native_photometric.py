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
        sums = image.new_empty(3, dtype=torch.float64)
        grad = torch.empty_like(image) if image.requires_grad else None
        call(
            "nk_photometric", ssim_weight=ssim_weight, image=image.detach(), target=target.planes,
            mean=target.mean, mean_square=target.mean_square, sums=sums, grad_image=grad,
        )  # fmt: skip
        ctx.grad = grad
        return sums[2].to(image.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (scale,) = grads
        # Whether a scale on a GPU is 1 isn't asked, since the answer would have to be waited for.
        unchanged = scale.device.type == "cpu" and scale.item() == 1
        return ctx.grad if unchanged else ctx.grad * scale, None, None
