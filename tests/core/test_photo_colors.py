"""What a photo shows of points of a surface."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.core.native import NativeCore
from nerfkit.core.reference_photo_colors import photo_colors as reference

COSINE, SLACK = 0.12, 2.0
SIZES = [(3, 3), (17, 16), (64, 33), (130, 97)]


def camera(width: int, height: int, distance: float = 3.0, turn: float = 0.3) -> Cameras:
    """Looks at the origin past a corner, so that some of the ball lies outside."""
    c, s = math.cos(turn), math.sin(turn)
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)
    pose[:3, 3] = -distance * pose[:3, 2] + 0.4 * pose[:3, 0]
    lens = torch.tensor([[1.3 * width, 1.2 * width, 0.45 * width, 0.55 * height]], dtype=torch.float64)
    return Cameras(pose[None].float(), lens.float(), width, height)


def ball(count: int, width: int = 64, height: int = 48) -> tuple[Tensor, Tensor, Cameras, Tensor, Tensor, Tensor]:
    """Points of a unit ball with rough normals, and a photo of it with things before it and pixels that lie."""
    generator = torch.Generator().manual_seed(count + width)
    points = torch.nn.functional.normalize(torch.randn(3, count, generator=generator, dtype=torch.float64), dim=0)
    rough = points + 0.2 * torch.randn(3, count, generator=generator, dtype=torch.float64)
    normals = torch.nn.functional.normalize(rough, dim=0)
    view = camera(width, height)
    fx, fy, cx, cy = view.intrinsics[0].double().tolist()
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    rays = torch.stack([(x - cx) / fx, (y - cy) / fy, torch.ones_like(x)], -1).double()
    middle = view.cam_from_world[0, :3, 3].double()  # of the ball, seen from the camera
    half = (rays @ middle) / (rays * rays).sum(-1)
    inside = half**2 - ((middle @ middle) - 1) / (rays * rays).sum(-1)
    depth = torch.where(inside > 0, half - inside.clamp_min(0).sqrt(), 0.0)
    depth = torch.where(torch.rand(height, width, generator=generator) < 0.1, 0.6 * depth, depth)
    trust = torch.rand(height, width, generator=generator)
    planes = 255 * torch.rand(3, height, width, generator=generator)
    return points.float(), normals.float(), view, depth.float(), trust, planes


def compared(got: tuple[Tensor, Tensor], want: tuple[Tensor, Tensor]) -> None:
    """Rounding may turn whether a point is seen that lies on the border of what is."""
    differs = (got[0] > 0) != (want[0] > 0)
    assert differs.sum() <= 2e-3 * len(differs)
    for have, expected in zip(got, want, strict=True):
        have, expected = have[..., ~differs].double(), expected[..., ~differs]
        assert (have - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("count", [0, 1, 7, 3000])
def test_kernel_equals_reference(size: tuple[int, int], count: int) -> None:
    positions, normals, view, *photo = ball(count, *size)
    got = NativeCore().photo_colors(positions, normals, view, *photo, COSINE, SLACK)
    want = reference(positions, normals, view, *(part.double() for part in photo), COSINE, SLACK)
    assert want[1].shape == (3, count)
    assert count < 3000 or size[0] < 16 or 0.1 < (want[0] > 0).float().mean() < 0.6
    compared(got, want)


@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_planes(channels: int) -> None:
    positions, normals, view, depth, trust, _ = ball(800)
    planes = torch.rand(channels, *depth.shape)
    got = NativeCore().photo_colors(positions, normals, view, depth, trust, planes, COSINE, SLACK)
    compared(got, reference(positions, normals, view, depth, trust, planes, COSINE, SLACK))


@pytest.mark.parametrize("colors", [NativeCore().photo_colors, reference], ids=["kernel", "reference"])
def test_what_is_seen_and_what_counts_how_much(colors: object) -> None:
    """A plane two units before a camera at the origin, by hand."""
    assert callable(colors)
    view = Cameras(torch.eye(4)[None], torch.tensor([[10.0, 10.0, 5.0, 5.0]]), 10, 10)
    depth, trust = torch.full((10, 10), 2.0), torch.full((10, 10), 0.5)
    planes = (torch.arange(10.0) + 0.5).expand(1, 10, 10).contiguous()  # a pixel's colour is where it lies
    depth[:, 7:] = 0
    places = torch.tensor([
        [0.0, 0.0, 2.0], [0.1, 0.3, 2.0], [-0.79, 0.0, 2.0], [-0.81, 0.0, 2.0], [0.5, 0.0, 2.0],
        [0.0, 0.0, 2.3], [0.0, 0.0, 2.6], [0.0, 0.0, 1.0], [0.0, 0.0, -2.0],
    ])  # fmt: skip
    normals = torch.tensor([0.0, 0.0, -1.0]).expand(len(places), 3)
    weight, color = colors(places.T.contiguous(), normals.T.contiguous(), view, depth, trust, planes, 0.5, 2.0)
    cosine = 2 / torch.tensor([2.0, math.sqrt(4.1), math.sqrt(4 + 0.79**2)])
    torch.testing.assert_close(weight[:3], 0.5 * (cosine * 10 / 2) ** 2)
    torch.testing.assert_close(color[0, :3], torch.tensor([5.0, 5.5, 1.05]))
    # too near the border; where nothing is drawn; a little behind, and too far; before it; behind the camera
    assert (weight[3:] > 0).tolist() == [False, False, True, False, True, False]
    assert color[0, weight == 0].abs().sum() == 0
    flat = torch.tensor([math.sqrt(0.75) + 1e-3, 0.0, -0.5]).expand(1, 3)
    assert colors(places[:1].T.contiguous(), flat.T.contiguous(), view, depth, trust, planes, 0.51, 2.0)[0] == 0
    assert colors(places[:1].T.contiguous(), flat.T.contiguous(), view, depth, trust, planes, 0.49, 2.0)[0] > 0


def test_what_makes_no_sense_is_refused() -> None:
    positions, normals, view, depth, trust, planes = ball(5)
    with pytest.raises(ValueError, match="expected one pinhole camera"):
        NativeCore().photo_colors(positions, normals, replace(view, model="opencv"), depth, trust, planes, 0.1, 2.0)
    with pytest.raises(ValueError, match="planes must be 64x48 as the camera is"):
        NativeCore().photo_colors(positions, normals, view, depth, trust, planes[:, :9], 0.1, 2.0)
    with pytest.raises(ValueError, match=r"normals must be \[3, P\] with P=5"):
        NativeCore().photo_colors(positions, normals[:, :3].contiguous(), view, depth, trust, planes, 0.1, 2.0)
    small = camera(2, 2)
    with pytest.raises(RuntimeError, match="3 pixels a side"):
        NativeCore().photo_colors(positions, normals, small, *torch.ones(2, 2, 2), torch.ones(3, 2, 2), 0.1, 2.0)


@pytest.mark.cpu_only
def test_the_same_bytes_for_any_number_of_threads() -> None:
    arguments = ball(5000)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(NativeCore().photo_colors(*arguments, COSINE, SLACK))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
