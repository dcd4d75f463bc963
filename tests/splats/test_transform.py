from __future__ import annotations

import pytest
import torch
from samples import some_gaussians

from nerfkit.core.reference import sh_basis
from nerfkit.data.similarity import Similarity
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
