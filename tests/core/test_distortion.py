"""The distortion loss against the double sum that defines it: values and gradients."""

from __future__ import annotations

import pytest
import torch
from tolerances import GRADIENT
from torch import Tensor

from core.checks import gradients_are_equal, same_bytes_with_any_number_of_threads
from nerfkit.core.native import NativeCore
from nerfkit.core.reference_distortion import distortion


def samples(counts: list[int], far: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Intervals near to far, with gaps between some of them; exact in float32."""
    rng = torch.Generator().manual_seed(sum(counts))
    total = sum(counts)
    offsets = torch.tensor([0, *torch.tensor(counts, dtype=torch.int64).cumsum(0).tolist()], dtype=torch.int32)
    lengths = torch.rand(total, generator=rng) * 0.02
    gaps = torch.rand(total, generator=rng) * (torch.rand(total, generator=rng) < 0.3)
    t_start = far + (lengths + gaps).cumsum(0)
    weights = torch.rand(total, generator=rng) ** 4
    return weights.double(), t_start.double(), (t_start + lengths).double(), offsets


CASES = [([], 1.0), ([0, 0], 1.0), ([1], 1.0), ([2], 1.0), ([5, 0, 17, 1], 1.0), ([64] * 65, 1.0), ([700, 3], 1.0),
         ([300], 1000.0)]  # fmt: skip


@pytest.mark.parametrize(("counts", "far"), CASES)
def test_values_and_gradients_equal_reference(counts: list[int], far: float) -> None:
    weights, t_start, t_end, offsets = samples(counts, far)
    weights.requires_grad_()
    fast = weights.detach().float().requires_grad_()
    expected = distortion(weights, t_start, t_end, offsets)
    got = NativeCore().distortion(fast, t_start.float(), t_end.float(), offsets)
    assert got.shape == (len(counts),)
    assert torch.allclose(got.double(), expected, rtol=GRADIENT, atol=0)
    if sum(counts):
        assert expected.max() > 0
        gradients_are_equal(expected, got, [weights], [fast])


@pytest.mark.cpu_only
def test_reference_by_hand_and_by_finite_differences() -> None:
    weights = torch.tensor([0.5, 0.25, 1.0], dtype=torch.float64)
    t_start, t_end = torch.tensor([1.0, 2.0, 5.0]).double(), torch.tensor([2.0, 4.0, 5.0]).double()  # 1.5, 3, 5
    offsets = torch.tensor([0, 2, 3])
    apart, within = 2 * 0.5 * 0.25 * 1.5, (0.25 * 1 + 0.0625 * 2) / 3
    expected = torch.tensor([apart + within, 0.0], dtype=torch.float64)
    assert torch.allclose(distortion(weights, t_start, t_end, offsets), expected)
    assert torch.autograd.gradcheck(lambda w: distortion(w, t_start, t_end, offsets), [weights.requires_grad_()])


@pytest.mark.cpu_only
def test_same_bytes_with_any_number_of_threads() -> None:
    weights, t_start, t_end, offsets = samples([30, 0, 7] * 100)

    def work() -> list[Tensor]:
        leaf = weights.float().requires_grad_()
        loss = NativeCore().distortion(leaf, t_start.float(), t_end.float(), offsets)
        loss.sum().backward()
        assert leaf.grad is not None
        return [loss.detach(), leaf.grad]

    same_bytes_with_any_number_of_threads(work)


def test_wrong_arguments_are_named() -> None:
    core = NativeCore()
    weights, t_start, t_end, offsets = (tensor.float() for tensor in samples([5]))
    for wrong in ([0, 4], [1, 5], [0, 6, 5], [0, 7]):
        with pytest.raises(RuntimeError, match="offsets must rise from 0 to the number of samples"):
            core.distortion(weights, t_start, t_end, torch.tensor(wrong, dtype=torch.int32))
    with pytest.raises(TypeError, match=r"offsets must be torch\.int32"):
        core.distortion(weights, t_start, t_end, offsets)
    with pytest.raises(ValueError, match=r"t_end must be \[S\] with S=5 \(from weights\), got \[4\]"):
        core.distortion(weights, t_start, t_end[:4], offsets.int())
