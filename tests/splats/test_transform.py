from __future__ import annotations

import numpy as np
import pytest
import torch
from samples import plausible_gaussians, some_gaussians
from scipy.special import sph_harm_y

from nerfkit.cameras import resize
from nerfkit.core import choose_core
from nerfkit.core.reference import sh_basis
from nerfkit.data.similarity import Similarity
from nerfkit.splats.judge import moved, orbit
from nerfkit.splats.transform import rotate_sh, transform


def random_rotation(seed: int) -> torch.Tensor:
    q, r = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    q = q * r.diagonal().sign()
    return q if torch.linalg.det(q) > 0 else -q


HALF_TURN = torch.diag(torch.tensor([1.0, -1.0, -1.0], dtype=torch.float64))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize(
    "rotation",
    [random_rotation(0), random_rotation(1), HALF_TURN],
    ids=["a", "b", "half turn"],
)
def test_colors_turn_with_the_frame(degree: int, rotation: torch.Tensor) -> None:
    sh = some_gaussians(20, degree).sh.double()
    turned = rotate_sh(sh, rotation)
    d = torch.nn.functional.normalize(torch.randn(30, 3, dtype=torch.float64), dim=1)
    before = torch.einsum("dk,nkc->ndc", sh_basis(d, degree), sh)
    after = torch.einsum("dk,nkc->ndc", sh_basis(d @ rotation.T, degree), turned)
    torch.testing.assert_close(after, before, atol=1e-10, rtol=0)
    if degree:
        assert (turned - sh).abs().max() > 0.1


def covariance(gaussians: object) -> torch.Tensor:
    w, x, y, z = torch.nn.functional.normalize(gaussians.quats.double(), dim=1).unbind(1)  # type: ignore[attr-defined]
    r = torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        1,
    ).reshape(-1, 3, 3)  # fmt: skip
    m = r * gaussians.scales.double()[:, None]  # type: ignore[attr-defined]
    return m @ m.transpose(1, 2)


@pytest.mark.parametrize("rotation", [random_rotation(2), HALF_TURN], ids=["any", "half turn"])
def test_shapes_and_places_move(rotation: torch.Tensor) -> None:
    g = some_gaussians(20)
    b_from_a = Similarity(2.5, rotation, torch.tensor([1.0, -2, 3], dtype=torch.float64))
    moved = transform(g, b_from_a)
    torch.testing.assert_close(
        covariance(moved),
        2.5**2 * rotation @ covariance(g) @ rotation.T,
        atol=1e-6,
        rtol=1e-5,
    )
    torch.testing.assert_close(
        moved.means.double(),
        2.5 * g.means.double() @ rotation.T + b_from_a.translation,
        atol=1e-5,
        rtol=0,
    )
    assert torch.equal(moved.opacities, g.opacities)
    back = transform(moved, b_from_a.inverse())
    torch.testing.assert_close(back.means, g.means, atol=1e-5, rtol=0)
    torch.testing.assert_close(back.sh, g.sh, atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [0.01, 30.0])
def test_a_moved_scene_looks_the_same_to_a_moved_camera(scale: float) -> None:
    g = plausible_gaussians(300)
    b_from_a = Similarity(scale, random_rotation(3), scale * torch.tensor([1.0, -2, 3], dtype=torch.float64))
    core, background = choose_core("auto", torch.device("cpu")), torch.tensor([0.1, 0.2, 0.3])
    for camera in orbit(g, per_ring=2):
        small = resize(camera, 96, 72)
        want = core.rasterize(g, small, background, near=0.1).image
        got = core.rasterize(transform(g, b_from_a), moved(small, b_from_a), background, near=0.1 * scale).image
        assert want[:3].std() > 0.05
        torch.testing.assert_close(got[:3], want[:3], atol=0.01, rtol=0)  # one Gaussian more or less, of 1/255
        assert (got[:3] - want[:3]).square().mean() < 1e-8


def test_the_harmonics_are_the_real_ones_of_scipy() -> None:
    """An evaluation that shares nothing with ours: sqrt(2) times the real and imaginary parts, with Condon-Shortley."""
    d = torch.nn.functional.normalize(torch.randn(50, 3, dtype=torch.float64), dim=1).numpy()
    theta, phi = np.arccos(d[:, 2]), np.arctan2(d[:, 1], d[:, 0])
    columns = []
    for level in range(4):
        for m in range(-level, level + 1):
            value = sph_harm_y(level, abs(m), theta, phi)
            columns.append(value.real if m == 0 else 2**0.5 * (value.real if m > 0 else value.imag))
    np.testing.assert_allclose(sh_basis(torch.from_numpy(d), 3).numpy(), np.stack(columns, 1), atol=1e-12)
