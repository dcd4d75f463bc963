"""How near a rendered image is to the photo: PSNR, SSIM, LPIPS."""

from __future__ import annotations

import logging
import math
from functools import lru_cache
from importlib import import_module
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

log = logging.getLogger("nerfkit")


def psnr(a: Tensor, b: Tensor) -> float:
    """Peak signal-to-noise ratio in dB, ``-10 log10(mean((a - b)^2))``, of images in [0, 1] of one shape."""
    mse = float((a.double() - b.double()).square().mean())
    return -10 * math.log10(mse) if mse > 0 else math.inf


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity of two images [H, W, 3] in [0, 1], at least 11 pixels on each side.

    11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, biased covariances (Wang et al., Image quality
    assessment, 2004), and the mean over all pixels of the image mirrored at its borders, as torchmetrics has it.
    """
    x, y = a.double().permute(2, 0, 1)[:, None], b.double().permute(2, 0, 1)[:, None]  # [3, 1, H, W]
    offsets = torch.arange(11, dtype=x.dtype, device=x.device) - 5
    window = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = window / window.sum()

    def blur(image: Tensor) -> Tensor:
        image = conv2d(pad(image, (5, 5, 5, 5), mode="reflect"), window.view(1, 1, 11, 1))
        return conv2d(image, window.view(1, 1, 1, 11))

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return float((luminance * structure).mean())


def lpips(a: Tensor, b: Tensor) -> float | None:
    """LPIPS with VGG features (Zhang et al. 2018) of images [H, W, 3] in [0, 1]; None without the extra ``lpips``."""
    network = _lpips_network()
    if network is None:
        return None
    x, y = (image.detach().cpu().float().permute(2, 0, 1)[None] * 2 - 1 for image in (a, b))
    with torch.no_grad():
        return float(network(x, y))


@lru_cache(maxsize=1)
def _lpips_network() -> Any:
    try:
        package = import_module("lpips")
    except ImportError:
        return None
    try:
        return package.LPIPS(net="vgg", verbose=False).eval()
    except Exception as error:  # its weights are downloaded at first use
        log.warning("LPIPS is left out: its network could not be loaded (%s)", error)
        return None
