"""Compositing of packed samples against its PyTorch reference: values and gradients."""

from __future__ import annotations

import pytest
import torch
from tolerances import GRADIENT, VALUE
from torch import Tensor

from core.scenes import camera, gaussians, leaves
from nerfkit.contracts import Gaussians
from nerfkit.core import reference
from nerfkit.core.native import NativeCore


def samples(counts: list[int], channels: int, opaque: float, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    offsets = torch.tensor([0, *torch.tensor(counts, dtype=torch.int64).cumsum(0).tolist()], dtype=torch.int32)
    alphas = torch.rand(sum(counts), generator=rng, dtype=torch.float64) * opaque
    return alphas, torch.randn(sum(counts), channels, generator=rng, dtype=torch.float64), offsets


CASES = [
    ([], 3, 0.5),
    ([0, 0], 3, 0.5),
    ([1], 1, 0.5),
    ([5, 0, 17, 1], 4, 0.1),
    ([300, 2, 90], 3, 0.02),  # thin fog: alphas below the rasterizer's cut count
    ([80, 200], 3, 0.9),  # rays that fill up
    ([40, 40], 2, 1.5),  # alphas above ALPHA_MAX
]


@pytest.mark.parametrize(("counts", "channels", "opaque"), CASES)
def test_values_and_gradients_equal_reference(counts: list[int], channels: int, opaque: float) -> None:
    alphas, values, offsets = samples(counts, channels, opaque)
    exact = [alphas.clamp_max(1).requires_grad_(), values.requires_grad_()]
    fast = [tensor.detach().float().requires_grad_() for tensor in exact]
    expected = reference.composite(*exact, offsets)
    got = NativeCore().composite(*fast, offsets)
    for want, have in zip(expected, got, strict=True):
        assert have.shape == want.shape
        assert (have - want).abs().max().item() <= 10 * VALUE if want.numel() else True
    if not sum(counts):
        assert (got[1] == 1).all()
        return
    rng = torch.Generator().manual_seed(1)
    v = [torch.randn(want.shape, generator=rng, dtype=torch.float64) for want in expected]
    torch.stack([(want * g).sum() for want, g in zip(expected, v, strict=True)]).sum().backward()
    torch.stack([(have * g.float()).sum() for have, g in zip(got, v, strict=True)]).sum().backward()
    for leaf, fast_leaf in zip(exact, fast, strict=True):
        assert leaf.grad is not None and fast_leaf.grad is not None
        assert leaf.grad.norm() > 0
        assert (fast_leaf.grad.double() - leaf.grad).norm() <= 5 * GRADIENT * leaf.grad.norm()


@pytest.mark.parametrize("used", [0, 1, 2])
def test_any_one_result_may_be_used_alone(used: int) -> None:
    alphas, values, offsets = samples([9, 30], 3, 0.3)
    exact = [alphas.requires_grad_(), values.requires_grad_()]
    fast = [tensor.detach().float().requires_grad_() for tensor in exact]
    reference.composite(*exact, offsets)[used].square().sum().backward()
    NativeCore().composite(*fast, offsets)[used].square().sum().backward()
    for leaf, fast_leaf in zip(exact, fast, strict=True):
        expected = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        assert fast_leaf.grad is not None
        assert (fast_leaf.grad.double() - expected).norm() <= GRADIENT * expected.norm()


@pytest.mark.cpu_only
def test_reference_gradients_equal_finite_differences() -> None:
    alphas, values, offsets = samples([4, 3], 2, 0.6)

    def draw(a: Tensor, v: Tensor) -> Tensor:
        return torch.cat([result.flatten() for result in reference.composite(a, v, offsets)])

    assert torch.autograd.gradcheck(draw, [alphas.requires_grad_(), values.requires_grad_()])


def test_wrong_offsets_are_refused() -> None:
    alphas, values, _ = (tensor.float() for tensor in samples([5], 3, 0.5))
    for offsets in ([0, 4], [1, 5], [0, 6, 5], [0, 7]):
        with pytest.raises(RuntimeError, match="offsets must rise from 0 to the number of samples"):
            NativeCore().composite(alphas, values, torch.tensor(offsets, dtype=torch.int32))
    with pytest.raises(TypeError, match=r"offsets must be torch\.int32"):
        NativeCore().composite(alphas, values, torch.tensor([0, 5]))


@pytest.mark.parametrize("seed", range(12))
def test_rays_and_rasters_composite_to_the_same_bits(seed: int) -> None:
    """A splat drawn alone in white shows its alpha, bit by bit; the same alphas along rays give the same picture."""
    count, view = 12, camera(16, 8)
    g = gaussians(count, seed)
    g = Gaussians(g.means, g.quats, g.scales * 20, g.opacities.clamp(0.2, 0.95), torch.zeros(count, 1, 3).double())
    g = leaves(g, torch.float32)  # all of them grey: 0.5 whatever the direction
    core, black = NativeCore(), torch.zeros(3)
    depths = (g.means.detach() @ view.cam_from_world[0, :3, :3].float().T)[:, 2]
    alone = []
    for i in depths.argsort(stable=True).tolist():
        others = torch.arange(count) != i
        one = Gaussians(g.means, g.quats, g.scales, g.opacities.detach().masked_fill(others, 0), g.sh)
        alone.append(core.rasterize(one, view, black).image[0] * 2)
    alphas = torch.stack(alone, -1).flatten().detach()  # [H W count], near to far along each pixel's ray
    offsets = torch.arange(0, len(alphas) + 1, count, dtype=torch.int32)
    sums, left, _ = core.composite(alphas, torch.full((len(alphas), 3), 0.5), offsets)
    drawn = core.rasterize(g, view, black)
    assert drawn.alpha.mean() > 0.5
    assert torch.equal(sums.T.reshape(3, 8, 16), drawn.image)
    assert torch.equal(1 - left.view(8, 16), drawn.alpha)
