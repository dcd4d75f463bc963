"""How near a rendered image is to the photo: PSNR, SSIM, LPIPS."""

from __future__ import annotations

import logging
import math
from functools import lru_cache
from importlib import import_module
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

log = logging.getLogger("nerfkit")

_AT_ONCE = 1 << 20  # pixels that are in memory in double precision


def psnr(a: Tensor, b: Tensor, shown: Tensor | None = None) -> float:
    """Peak signal-to-noise ratio in dB, ``-10 log10(mean((a - b)^2))``, of images in [0, 1] of one shape.

    Args:
        shown: [H, W] bool, pixels of [H, W, 3] that count: what is black in both would raise it. NaN where none does.
    """
    if shown is not None:
        a, b = a[shown], b[shown]
    if not a.numel():
        return math.nan
    mse = float((a.double() - b.double()).square().mean())
    return -10 * math.log10(mse) if mse > 0 else math.inf


def ssim(a: Tensor, b: Tensor, shown: Tensor | None = None) -> float:
    """Structural similarity of two images [H, W, 3] in [0, 1], at least 11 pixels on each side.

    11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, biased covariances (Wang et al., Image quality
    assessment, 2004), and the mean over all pixels of the image mirrored at its borders, as torchmetrics has it.

    Args:
        shown: [H, W] bool, pixels that the mean is of; NaN where it has none.
    """
    if shown is not None and not shown.any():
        return math.nan
    x, y = (image.float().cpu().numpy() for image in (a, b))
    mean_x, mean_y, xx, yy, xy = (_windowed(values) for values in (x, y, x * x, y * y, x * y))
    var_x, var_y, covariance = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    similar = torch.from_numpy(luminance * structure)
    return float((similar if shown is None else similar[shown]).double().mean())


def color_matched(image: Tensor, photo: Tensor, shown: Tensor | None = None) -> Tensor:
    """The image [H, W, 3] with the colours of the photo, by the affine map that fits them best: without what the photo
    owes to its exposure and white balance (as in Barron et al. 2022, Mip-NeRF 360's colour correction).

    Args:
        shown: [H, W] bool, pixels that the map is to fit.
    """
    mine, its = (pixels[shown] if shown is not None else pixels.reshape(-1, 3) for pixels in (image, photo))
    ridge = 1e-6 * max(1, len(mine)) * torch.eye(4, dtype=torch.float64)  # one colour has many maps: the least
    square, product = ridge.to(image.device), torch.zeros(4, 3, dtype=torch.float64, device=image.device)
    for part, wanted in zip(mine.split(_AT_ONCE), its.split(_AT_ONCE)):
        values = torch.cat([part, part.new_ones(len(part), 1)], 1).double()  # [P, 4]
        square += values.T @ values
        product += values.T @ (wanted - part).double()
    change = torch.linalg.solve(square, product).to(image.dtype)
    return (image + image @ change[:3] + change[3]).clamp(0, 1)


def _windowed(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over SSIM's window [H, W, 3]; OpenCV's blur takes a tenth of the time of torch's convolutions on a CPU."""
    return np.asarray(cv2.GaussianBlur(image, (11, 11), 1.5, borderType=cv2.BORDER_REFLECT_101), np.float32)


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
