"""Arrays that begin anywhere, as views do: a kernel that reads 16 bytes at a time must not be given them.

A GPU ends the process's use of it over one misaligned address; the emulation's sanitizer finds it too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from core.scenes import camera, gaussians, leaves
from nerfkit.core._library import library
from nerfkit.core.hash_grid import HashGrid
from nerfkit.core.native import NativeCore

CORE = NativeCore()
GRID = HashGrid(levels=2, features=4, log2_size=6, coarsest=2, finest=9)
SCENE = leaves(gaussians(40), torch.float32)


def draw(name: str) -> Callable[[Tensor], Tensor]:
    def run(array: Tensor) -> Tensor:
        changed = replace(SCENE, **{name: array})
        return CORE.rasterize(changed, camera(33, 20), torch.zeros(3)).image

    return run


def adam(array: Tensor) -> Tensor:
    param = array.detach()
    before = param.clone()
    zeros = [torch.zeros_like(before) for _ in range(2)]
    CORE.adam(param, before, *zeros, 1, torch.tensor([0.1]), (0.9, 0.999), 1e-8)
    changed = param.clone()
    param.copy_(before)
    return changed


def planes() -> Tensor:
    return torch.rand(3, 9, 11, generator=torch.Generator().manual_seed(0))


OPERATORS: dict[str, tuple[Callable[[], Tensor], Callable[[Tensor], Tensor]]] = {
    **{name: (lambda name=name: getattr(SCENE, name), draw(name)) for name in ("means", "quats", "opacities", "sh")},
    "table": (lambda: torch.rand(GRID.entries, 4), lambda table: CORE.hash_encode(torch.rand(7, 3), table, GRID)),
    "param": (lambda: torch.rand(37), adam),
    "image": (planes, lambda image: CORE.photometric_loss(image, CORE.target(planes().flip(0)), 0.2)),
    "weights": (lambda: torch.rand(16 * 8), lambda weights: CORE.mlp(torch.rand(20, 8), weights, [8, 16])),
    "input": (lambda: torch.rand(20, 8), lambda input: CORE.mlp(input, torch.rand(16 * 8), [8, 16])),
}  # fmt: skip


ON_GPU = library().lanes == 1  # kernels of a GPU, or their emulation
BY_SIXTEEN_BYTES = ("quats", "sh", "table")


@pytest.mark.parametrize("name", OPERATORS)
def test_views_are_taken_or_refused(name: str) -> None:
    make, run = OPERATORS[name]
    array = make().detach()
    view = torch.cat([torch.zeros(1), array.flatten()])[1:].view(array.shape).requires_grad_()
    assert view.data_ptr() % 16 == 4
    if ON_GPU and name in BY_SIXTEEN_BYTES:
        with pytest.raises(RuntimeError, match="must begin at multiples of 16 bytes"):
            run(view)
        return
    torch.manual_seed(0)
    expected = run(array)
    torch.manual_seed(0)
    got = run(view)
    assert torch.equal(got, expected)
    if got.requires_grad:
        got.sum().backward()
        assert view.grad is not None and view.grad.isfinite().all()
