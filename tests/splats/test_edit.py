from __future__ import annotations

import math

import pytest
import torch
from samples import plausible_gaussians, some_gaussians

from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.splats import edit
from nerfkit.splats.blocks import BLOCK
from nerfkit.splats.options import SplatOptions
from nerfkit.splats.stream import joined, load, stream, watched


def scene() -> Gaussians:
    """A grid of 1,000 small Gaussians between 0 and 0.9."""
    axis = torch.arange(10) * 0.1
    g = plausible_gaussians(1000)
    return Gaussians(torch.cartesian_prod(axis, axis, axis), g.quats, torch.full((1000, 3), 0.03), g.opacities, g.sh)


def test_crop() -> None:
    g = scene()
    kept, outside = edit.crop_box(stream(g), (0.35, -1, 0.5, 0.05, 2, 0.75))  # corners in any order
    box = load(kept)
    assert len(box) == kept.most == 1000 - outside == 3 * 10 * 3 and box.means[:, 0].max() < 0.35
    ball = load(edit.crop_sphere(stream(g), (0.5, 0.5, 0.5, 0.1001))[0])
    assert len(ball) == 7
    assert torch.equal(ball.sh[0], g.sh[(g.means == ball.means[0]).all(1)][0])


def test_clean_takes_what_nobody_misses() -> None:
    g = scene()
    g.means[0] = torch.tensor([4.0, 4, 4])  # alone
    g.opacities[1] = 0.001
    g.scales[2], g.opacities[2] = 3.0, 0.1  # haze
    g.scales[3], g.opacities[3] = 3.0, 0.95  # a wall
    g.means[4], g.scales[4], g.opacities[4] = torch.tensor([-3.0, 0, 0]), 2.0, 0.9  # as large as it is far: sky
    picked, counts = edit.clean(stream(g))
    left = load(picked)
    assert counts == {"transparent": 1, "huge": 1, "isolated": 1}
    kept = torch.tensor([3, 4, *range(5, 1000)])
    assert torch.equal(left.means, g.means[kept])


@pytest.mark.parametrize("count", [1, 3])
def test_clean_of_very_few(count: int) -> None:
    left, counts = edit.clean(stream(some_gaussians(count)))
    assert left.most == count and not any(counts.values())


def test_streams_tell_how_far_they_are() -> None:
    told: list[tuple[str, int, int]] = []
    g = some_gaussians(20_000, 0)
    seen = watched(stream(g), lambda *said: told.append(said))
    assert torch.equal(load(seen).means, g.means) and (seen.degree, seen.most) == (0, 20_000)
    assert [done for _, done, _ in told] == [BLOCK, 20_000] and {total for _, _, total in told} == {20_000}


def test_merge_fills_bands_with_zeros() -> None:
    a, b = some_gaussians(5, 1), some_gaussians(7, 3)
    both = load(joined([stream(a), stream(b)]))
    assert len(both) == 12 and both.sh.shape == (12, 16, 3)
    assert torch.equal(both.sh[:5, :4], a.sh) and not both.sh[:5, 4:].any() and torch.equal(both.sh[5:], b.sh)


def test_rotations_follow_each_other_about_fixed_axes() -> None:
    moved = edit.similarity((90.0, 0.0, 90.0), (1.0, 0.0, 0.0), 2.0)
    y = torch.tensor([[0.0, 1, 0]], dtype=torch.float64)
    torch.testing.assert_close(moved.points(y), torch.tensor([[1.0, 0, 2]], dtype=torch.float64), atol=1e-12, rtol=0)
    x = torch.tensor([[1.0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(moved.points(x), torch.tensor([[1.0, 2, 0]], dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("text", "size"), [("10MB", 10_000_000), ("2.5 kb", 2500), ("1GiB", 2**30), ("700", 700), ("1gb", 10**9)]
)
def test_sizes(text: str, size: int) -> None:
    assert SplatOptions(max_size=text).bytes() == size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_size": "small"}, "--max-size small"),
        ({"max_size": "0MB"}, "--max-size 0MB"),
        ({"max_size": "1e400MB"}, "--max-size"),
        ({"sh_degree": 4}, "--sh-degree 4"),
        ({"crop_sphere": (0, 0, 0, 0)}, "--crop-sphere"),
        ({"scale": 0.0}, "--scale 0"),
        ({"scale": math.inf}, "--scale inf"),
        ({"translate": (0, 0, math.nan)}, "--translate 0 0 nan: must be finite"),
        ({"rotate": (0, math.inf, 0)}, "--rotate 0 inf 0: must be finite"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(NerfkitError, match=message):
        SplatOptions(**options).check()  # type: ignore[arg-type]


@pytest.mark.parametrize("clean", [False, True])
def test_nothing_left(clean: bool) -> None:
    with pytest.raises(NerfkitError, match=r"none of 1,000 Gaussians is left \(cropped: 1,000\)"):
        SplatOptions(crop_sphere=(9, 9, 9, 1), clean=clean).kept(stream(scene()))


def test_nothing_but_floaters() -> None:
    g = scene()
    g.opacities[:] = 0.001
    with pytest.raises(NerfkitError, match=r"none of 1,000 Gaussians is left \(transparent: 1,000\)"):
        SplatOptions(clean=True).kept(stream(g))


def test_a_sphere_may_be_large() -> None:
    assert edit.crop_sphere(stream(scene()), (0, 0, 0, 1e200))[0].most == 1000
