from __future__ import annotations

import math

import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from nerfkit.train.metrics import color_matched, psnr, ssim


@pytest.mark.parametrize("size", [(11, 11), (37, 52), (64, 41)])
@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_equal_to_torchmetrics(size: tuple[int, int], noise: float) -> None:
    rng = torch.Generator().manual_seed(0)
    a = torch.rand(*size, 3, generator=rng)
    b = (a + noise * torch.randn(*size, 3, generator=rng)).clamp(0, 1)
    batch_a, batch_b = a.permute(2, 0, 1)[None], b.permute(2, 0, 1)[None]
    assert psnr(a, b) == pytest.approx(float(peak_signal_noise_ratio(batch_a, batch_b, data_range=1.0)), abs=1e-4)
    theirs = structural_similarity_index_measure(batch_a, batch_b, data_range=1.0)
    assert ssim(a, b) == pytest.approx(float(theirs), abs=1e-4)


def test_known_values() -> None:
    black, grey = torch.zeros(16, 16, 3), torch.full((16, 16, 3), 0.1)
    assert psnr(black, grey) == pytest.approx(20.0, abs=1e-5)
    assert psnr(grey, grey) == math.inf
    assert ssim(grey, grey) == pytest.approx(1.0)
    assert ssim(black, grey) == pytest.approx(0.01**2 / (0.1**2 + 0.01**2), rel=1e-4)


def test_color_matching_leaves_out_exposure_and_nothing_else() -> None:
    rng = torch.Generator().manual_seed(0)
    photo = 0.2 + 0.5 * torch.rand(20, 30, 3, generator=rng)
    gain = torch.tensor([[0.7, 0.1, 0.0], [0.0, 0.8, 0.05], [0.02, 0.0, 1.1]])
    darker = photo @ gain.T + 0.03
    assert psnr(darker, photo) < 25
    assert psnr(color_matched(darker, photo), photo) > 60
    noisy = darker + 0.05 * torch.randn(20, 30, 3, generator=rng)
    assert psnr(color_matched(noisy, photo), photo) < 27
    flat = torch.full((20, 30, 3), 0.9)
    assert color_matched(flat, photo).mean((0, 1)) == pytest.approx(photo.mean((0, 1)).numpy(), abs=1e-3)


def test_pixels_that_are_not_shown_count_nothing() -> None:
    rng = torch.Generator().manual_seed(0)
    photo, shown = torch.rand(40, 30, 3, generator=rng), torch.ones(40, 30, dtype=torch.bool)
    image = (0.8 * photo + 0.05 * torch.randn(40, 30, 3, generator=rng)).clamp(0, 1)
    assert psnr(image, photo, shown) == psnr(image, photo)
    assert ssim(image, photo, shown) == pytest.approx(ssim(image, photo))
    shown[20:] = False
    assert psnr(image, photo, shown) == pytest.approx(psnr(image[:20], photo[:20]))
    alike = torch.where(shown[..., None], image, photo)
    assert psnr(alike, photo, shown) < psnr(alike, photo) - 2.9  # as many pixels again, without an error
    assert ssim(alike, photo, shown) < ssim(alike, photo) - 0.01
    other = torch.where(shown[..., None], photo, torch.zeros(3))
    matched = color_matched(image, other, shown)
    assert torch.allclose(matched[:20], color_matched(image[:20], photo[:20]), atol=1e-5)
    none = torch.zeros_like(shown)
    assert math.isnan(psnr(image, photo, none)) and math.isnan(ssim(image, photo, none))
    assert torch.isfinite(color_matched(image, photo, none)).all()
