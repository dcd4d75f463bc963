"""A photo's loss and what it asks of Gaussians, in one call, against the definitions of its parts."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tolerances import GRADIENT, VALUE

from core.cores import cores, fit_for
from core.scenes import FIELDS, camera, gaussians
from nerfkit.contracts import Gaussians, RenderCore
from nerfkit.core.native import NativeCore
from nerfkit.core.reference_core import ReferenceCore
from nerfkit.core.types import PhotoStep, SplatStats, Target

BACKGROUND = torch.tensor([0.2, 0.5, 0.9])
WEIGHT = 0.2


def photo(g: Gaussians, size: tuple[int, int]) -> torch.Tensor:
    """Unlike what is drawn in every pixel, by so much that rounding changes no difference's sign: brighter, darker."""
    drawn = ReferenceCore().rasterize(g, camera(*size), BACKGROUND.double()).image
    rng = torch.Generator().manual_seed(len(g))
    away = 0.05 + 0.4 * torch.rand(drawn.shape, generator=rng, dtype=torch.float64)
    return drawn + away * torch.tensor([1, -1, 1])[:, None, None]


def rounded(g: Gaussians) -> Gaussians:
    return dataclasses.replace(g, **{name: getattr(g, name).float() for name in FIELDS})


def expected_of(g: Gaussians, size: tuple[int, int], target: torch.Tensor, stats: SplatStats | None) -> PhotoStep:
    exact = ReferenceCore()
    return exact.photo_step(g, camera(*size), BACKGROUND.double(), exact.target(target), WEIGHT, stats=stats)


def assert_close(got: PhotoStep, expected: PhotoStep, filled: float = 1) -> None:
    assert got.loss.item() == pytest.approx(expected.loss.item(), abs=VALUE)
    for name in FIELDS:
        want, found = expected.gradients[name], got.gradients[name].double()
        assert want.norm() > 0, name
        assert (found - want).norm() <= filled * GRADIENT * want.norm(), name
    assert torch.equal(got.in_view != 0, expected.in_view != 0)


@cores("nerfkit", "gsplat", "gsplat stand-in")
@pytest.mark.parametrize(
    ("count", "degree", "size", "antialiased"),
    [(9, 0, (8, 8), False), (7, 3, (33, 20), True), (300, 2, (53, 41), False), (900, 3, (20, 18), True)],
)
def test_loss_and_gradients_equal_reference(
    core: RenderCore, count: int, degree: int, size: tuple[int, int], antialiased: bool
) -> None:
    g = fit_for(core, gaussians(count, seed=count + 1, degree=degree))
    g = dataclasses.replace(g, antialiased=antialiased)
    target = photo(g, size)
    wanted, stats = SplatStats.zeros(count), SplatStats.zeros(count)
    expected = expected_of(g, size, target, wanted)
    prepared = core.target(target.float())
    got = core.photo_step(rounded(g), camera(*size), BACKGROUND, prepared, WEIGHT, stats=stats)
    if core.name == "gsplat":  # which counts what it draws, or leaves out, by other rules
        got = dataclasses.replace(got, in_view=expected.in_view)
    assert_close(got, expected, 5 if core.name == "gsplat" and count == 900 else 1)  # it leaves a full pixel earlier
    assert (stats.grad_sum - wanted.grad_sum).norm() <= 10 * GRADIENT * wanted.grad_sum.norm()
    assert core.name == "gsplat" or torch.equal(stats.count, wanted.count)


def test_steps_of_all_sizes_follow_each_other() -> None:
    """More Gaussians and pixels than before, and fewer again: each step finds its room."""
    core = NativeCore()
    for count, size in ((20, (30, 20)), (500, (90, 70)), (3, (8, 8)), (700, (20, 90)), (20, (30, 20))):
        g = gaussians(count, seed=count)
        target = photo(g, size)
        step = core.photo_step(rounded(g), camera(*size), BACKGROUND, core.target(target.float()), WEIGHT)
        assert_close(step, expected_of(g, size, target, None))


def test_statistics_are_those_of_the_single_operators() -> None:
    """Of one view, though the first call of all finds no room for it, and is repeated."""
    g, view = rounded(gaussians(400, seed=3)), camera(60, 50)
    core, single, together = NativeCore(), SplatStats.zeros(400), SplatStats.zeros(400)
    prepared = core.target(torch.rand(3, 50, 60, generator=torch.Generator().manual_seed(0)))
    for _ in range(2):
        leaves = dataclasses.replace(g, **{name: getattr(g, name).clone().requires_grad_() for name in FIELDS})
        drawn = core.rasterize(leaves, view, BACKGROUND, stats=single)
        core.photometric_loss(drawn.image, prepared, WEIGHT).backward()
        core.photo_step(g, view, BACKGROUND, prepared, WEIGHT, stats=together)
    assert single.grad_sum.norm() > 0
    assert torch.allclose(together.grad_sum, single.grad_sum, rtol=1e-4) and torch.equal(together.count, single.count)


@pytest.mark.parametrize("count", [0, 5])
def test_what_no_one_sees_asks_for_nothing(count: int) -> None:
    core, g = NativeCore(), rounded(gaussians(count))
    g.means[:, 1] -= 50  # behind the camera
    prepared = core.target(BACKGROUND[:, None, None].expand(3, 20, 30).contiguous())
    step = core.photo_step(g, camera(30, 20), BACKGROUND, prepared, WEIGHT)
    assert step.loss.item() == pytest.approx(0, abs=VALUE)
    assert all(not gradient.any() for gradient in step.gradients.values()) and not step.in_view.any()


def test_what_does_not_fit_is_refused() -> None:
    core, g = NativeCore(), rounded(gaussians(5))
    prepared = core.target(torch.rand(3, 20, 30))
    with pytest.raises(ValueError, match=r"the camera has 20 x 30 pixels, the target \[3, 20, 30\]"):
        core.photo_step(g, camera(20, 30), BACKGROUND, prepared, WEIGHT)
    several = dataclasses.replace(camera(30, 20), model="fisheye")
    with pytest.raises(ValueError, match="expected one pinhole camera, got 1 of model fisheye"):
        core.photo_step(g, several, BACKGROUND, prepared, WEIGHT)
    short = Target(prepared.planes, prepared.mean[:2], prepared.mean_square)
    with pytest.raises(ValueError, match="nk_photo_step: mean must be"):
        core.photo_step(g, camera(30, 20), BACKGROUND, short, WEIGHT)


@pytest.mark.cpu_only
def test_half_of_the_statistics_is_refused() -> None:
    core, g = NativeCore(), rounded(gaussians(5))
    prepared = core.target(torch.rand(3, 20, 30))
    alone = SplatStats(torch.zeros(5), None)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="nk_photo_step: grad_sum and count go together"):
        core.photo_step(g, camera(30, 20), BACKGROUND, prepared, WEIGHT, stats=alone)
