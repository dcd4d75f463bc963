from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from nerfkit.contracts import Gaussians
from nerfkit.viewer.splats import pack


def gaussians(unit: float = 1.0, count: int = 50) -> Gaussians:
    rng = torch.Generator().manual_seed(0)
    return Gaussians(
        torch.randn(count, 3, generator=rng) * unit,
        torch.randn(count, 4, generator=rng),
        torch.rand(count, 3, generator=rng) * 0.1 * unit + 0.002 * unit,
        torch.rand(count, generator=rng) * 0.9 + 0.05,
        torch.randn(count, 4, 3, generator=rng) * 0.3,
    )


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e5])
def test_covariances_survive_half_precision_in_any_unit(unit: float) -> None:
    splats = gaussians(unit)
    packed = pack(splats, torch.zeros(3), 500.0)
    axes = Rotation.from_quat(np.roll(splats.quats.numpy(), -1, axis=1)).as_matrix() * splats.scales.numpy()[:, None]
    expected = axes @ axes.transpose(0, 2, 1)
    seen = packed.covariances.astype(np.float16).astype(np.float64) * packed.scale**2
    sizes = np.trace(expected, axis1=1, axis2=2)[:, None, None]
    assert np.abs(seen - expected).max() < 2e-3 * sizes.max()
    assert (np.abs(seen - expected) / sizes).max() < 2e-3
    np.testing.assert_allclose(packed.centers * packed.scale, splats.means.numpy(), rtol=1e-5)


def test_colours_are_those_of_the_side_that_is_seen() -> None:
    red_from_above = Gaussians(
        torch.zeros(1, 3), torch.tensor([[1.0, 0, 0, 0]]), torch.full((1, 3), 0.1), torch.tensor([0.5]),
        torch.tensor([[[0.0, 0, 0], [0, 0, 0], [-0.8, 0, 0], [0, 0, 0]]]),  # degree 1, z of the direction from the eye
    )  # fmt: skip
    above = pack(red_from_above, torch.tensor([0.0, 0, 2]), 500.0).rgbs[0]
    below = pack(red_from_above, torch.tensor([0.0, 0, -2]), 500.0).rgbs[0]
    swing = 0.8 * 0.4886025
    np.testing.assert_allclose(above, [0.5 + swing, 0.5, 0.5], atol=1e-5)
    np.testing.assert_allclose(below, [0.5 - swing, 0.5, 0.5], atol=1e-5)


def test_what_cannot_be_seen_or_drawn_is_left_out() -> None:
    splats = gaussians()
    splats.opacities[3], splats.means[7] = 1e-4, torch.nan
    packed = pack(splats, torch.zeros(3), 500.0)
    assert len(packed.centers) == 48
    assert np.isfinite(packed.centers).all()


def test_nothing_at_all() -> None:
    empty = Gaussians(*(getattr(gaussians(), name)[:0] for name in Gaussians.ARRAYS))
    assert pack(empty, torch.zeros(3), 500.0).covariances.shape == (0, 3, 3)
