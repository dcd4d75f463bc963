"""The conversions between activated values and what splat files store. No other file does these."""

from __future__ import annotations

import torch
from torch import Tensor

SH_C0 = 0.28209479177387814
"""The constant spherical harmonic, 1 / (2 sqrt(pi))."""

_OPACITY_MARGIN = 1e-6  # logits of 0 and 1 are infinite, and readers don't expect that


def logit_from_opacity(opacity: Tensor) -> Tensor:
    """``log(o / (1 - o))``, for opacities in [0, 1]."""
    opacity = opacity.double().clamp(_OPACITY_MARGIN, 1 - _OPACITY_MARGIN)
    return torch.logit(opacity).float()


def opacity_from_logit(logit: Tensor) -> Tensor:
    return torch.sigmoid(logit)


def opacity_from_logit_vjp(opacity: Tensor, grad: Tensor) -> Tensor:
    """The gradient of the logit, from the opacity and its gradient."""
    return torch.ops.aten.sigmoid_backward(grad, opacity)


def log_from_scale(scale: Tensor) -> Tensor:
    return scale.double().clamp_min(1e-30).log().float()


def scale_from_log(log: Tensor) -> Tensor:
    return log.exp()


def scale_from_log_vjp(scale: Tensor, grad: Tensor) -> Tensor:
    """The gradient of the logarithm, from the scale and its gradient."""
    return grad * scale


def rgb_from_dc(dc: Tensor) -> Tensor:
    """The colour in [0, 1] that a constant coefficient alone gives."""
    return dc * SH_C0 + 0.5


def dc_from_rgb(rgb: Tensor) -> Tensor:
    return (rgb - 0.5) / SH_C0
