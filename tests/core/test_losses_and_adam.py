"""The photometric loss and the Adam step against their PyTorch references."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tolerances import GRADIENT, VALUE
from torch import Tensor

from nerfkit.core import reference
from nerfkit.core.native import NativeCore
from nerfkit.core.optim import FusedAdam

# Smaller than a kernel's tile, of several tiles beside and below each other, none a multiple of anything.
SIZES = [(1, 1), (3, 11), (7, 5), (8, 8), (17, 33), (33, 65), (70, 45), (9, 130), (34, 245)]


def _planes(*shape: int) -> tuple[Tensor, Tensor]:
    """A target in [0, 1] and an image unlike it, in double precision."""
    rng = torch.Generator().manual_seed(shape[1])
    target = torch.rand(shape, generator=rng, dtype=torch.float64)
    return target, (target + 0.3 * torch.randn(shape, generator=rng, dtype=torch.float64)).requires_grad_()


@pytest.mark.parametrize(
    ("weight", "shape"),
    [
        *((0.2, shape) for shape in [*((3, *size) for size in SIZES), (1, 7, 5), (1, 33, 65), (330, 40, 2)]),
        *((weight, shape) for weight in (0.0, 1.0) for shape in [(3, 1, 1), (3, 33, 65), (3, 9, 130), (1, 7, 5)]),
    ],
    ids=str,
)
def test_photometric_loss(weight: float, shape: tuple[int, int, int]) -> None:
    target, image = _planes(*shape)
    expected = reference.photometric_loss(image, target, weight)
    expected.backward()
    core = NativeCore()
    fast, prepared = image.detach().float().requires_grad_(), core.target(target.float())
    loss = core.photometric_loss(fast, prepared, weight)
    (3 * loss).backward()
    assert loss.item() == pytest.approx(expected.item(), abs=VALUE)
    assert image.grad is not None and fast.grad is not None
    # Entry by entry too: a seam between two tiles is little beside the whole.
    assert (fast.grad.double() / 3 - image.grad).norm() <= GRADIENT * image.grad.norm()
    assert (fast.grad.double() / 3 - image.grad).abs().max() <= 10 * GRADIENT * image.grad.abs().max()
    assert core.photometric_loss(fast.detach(), prepared, weight).item() == pytest.approx(expected.item(), abs=VALUE)
    assert (prepared.mean - reference.blur(target)).abs().max() <= VALUE
    assert (prepared.mean_square - reference.blur(target * target)).abs().max() <= VALUE


def test_photometric_loss_is_the_same_every_time_and_scales() -> None:
    target, image = _planes(3, 70, 130)
    core, results = NativeCore(), []
    for scale in (1.0, 1.0, 0.5):
        fast = image.detach().float().requires_grad_()
        loss = core.photometric_loss(fast, core.target(target.float()), 0.2)
        (scale * loss).backward(retain_graph=True)
        assert fast.grad is not None
        once = fast.grad.clone()
        (scale * loss).backward()  # again, as if the first time had not been
        assert torch.equal(fast.grad, 2 * once)
        results.append((loss.item(), once))
    assert results[0][0] == results[1][0] == results[2][0]
    assert torch.equal(results[0][1], results[1][1]) and torch.equal(results[0][1], 2 * results[2][1])


@pytest.mark.cpu_only
def test_reference_ssim_gradient_equals_finite_differences() -> None:
    target = torch.rand(1, 4, 5, dtype=torch.float64)
    image = torch.rand(1, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: reference.photometric_loss(x, target, 1.0), [image])


def test_identical_images_have_no_loss() -> None:
    core, planes = NativeCore(), torch.rand(3, 20, 30)
    assert core.photometric_loss(planes, core.target(planes), 0.2).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "columns"), [((1,), 1), ((7, 3), 1), ((7, 3), 3), ((16, 3), 1), ((16, 3), 3), ((33, 16, 3), 48)]
)
def test_adam_equals_reference_and_torch(shape: tuple[int, ...], columns: int) -> None:
    rng = torch.Generator().manual_seed(1)
    start = torch.randn(shape, generator=rng)
    lr = torch.rand(columns, generator=rng) * 0.1
    param, m, v = start.double(), torch.zeros(shape).double(), torch.zeros(shape).double()
    fast = start.clone().requires_grad_()
    optimizer = FusedAdam([{"params": [fast], "lr": 1.0, "columns": lr}], NativeCore(), eps=1e-8)
    peer_param = start.double().clone().requires_grad_()
    peer = torch.optim.Adam([peer_param], lr=lr[0].item(), eps=1e-8)
    for step in range(1, 6):
        grad = torch.randn(shape, generator=rng)
        reference.adam(param, grad.double(), m, v, step, lr, (0.9, 0.999), 1e-8)
        fast.grad = grad.clone()
        optimizer.step()
        peer_param.grad = grad.double()
        peer.step()
    assert (fast.double() - param).abs().max() < 1e-5
    if columns == 1:
        assert (param - peer_param).abs().max() < 1e-7  # torch's lr is a double, ours a float


@pytest.mark.parametrize("shape", [(1,), (5, 1), (64, 1), (37, 3), (9, 4), (50, 16, 3)])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_sparse_adam_changes_what_was_drawn(shape: tuple[int, ...], share: float) -> None:
    rng = torch.Generator().manual_seed(3)
    start, lr = torch.randn(shape, generator=rng), torch.rand(shape[-1], generator=rng)
    exact = [start.double(), *(torch.zeros(shape, dtype=torch.float64) for _ in range(2))]
    fast = [start.clone(), *(torch.zeros(shape) for _ in range(2))]
    for step in range(1, 4):
        grad = torch.randn(shape, generator=rng)
        drawn = (torch.rand(shape[0], generator=rng) < share).to(torch.uint8)
        before = [tensor.clone() for tensor in fast]
        reference.adam(exact[0], grad.double(), *exact[1:], step, lr, (0.9, 0.999), 1e-8, drawn)
        NativeCore().adam(fast[0], grad, *fast[1:], step, lr, (0.9, 0.999), 1e-8, drawn)
        for tensor, want, old in zip(fast, exact, before, strict=True):
            assert torch.equal(tensor[drawn == 0], old[drawn == 0])
            assert not drawn.any() or (tensor.double() - want).abs().max() < 1e-5
            assert not drawn.any() or not torch.equal(tensor[drawn == 1], old[drawn == 1])


def test_sparse_adam_lasts_for_one_step() -> None:
    param = torch.ones(4, 3, requires_grad=True)
    optimizer = FusedAdam([{"params": [param], "lr": 0.1}], NativeCore())
    param.grad = torch.ones(4, 3)
    optimizer.drawn = torch.tensor([1, 0, 0, 1], dtype=torch.uint8)
    optimizer.step()
    assert (param.detach()[:, 0] != 1).tolist() == [True, False, False, True]
    optimizer.step()
    assert (param != 1).all()


@pytest.mark.parametrize("rates", [0, 65])
def test_a_parameter_has_1_to_64_learning_rates(rates: int) -> None:
    """They travel with the kernel."""
    param, grad, m, v = (torch.zeros(2 * rates) for _ in range(4))
    with pytest.raises(RuntimeError, match=f"nk_adam: there must be 1 to 64 learning rates, got {rates}"):
        NativeCore().adam(param, grad, m, v, 1, torch.ones(rates), (0.9, 0.999), 1e-8)


@pytest.mark.cpu_only
def test_no_training_waits_for_the_compiler_of_torch() -> None:
    """Its optimizers import it, a second or two."""
    code = """
import sys, torch
from nerfkit.core import choose_core
from nerfkit.core.optim import FusedAdam
param = torch.ones(3, requires_grad=True)
optimizer = FusedAdam([{"params": [param], "lr": 0.1}], choose_core())
param.sum().backward()
optimizer.step()
optimizer.zero_grad()
assert param.grad is None and param[0].item() < 0.91
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
