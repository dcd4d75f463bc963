from __future__ import annotations

from collections.abc import Callable

import analytic
import pytest
import torch

from nerfkit import cameras
from nerfkit.contracts import Cameras
from nerfkit.core.native_tsdf import tsdf_integrate as native
from nerfkit.core.reference_tsdf import tsdf_integrate as reference
from nerfkit.core.volume import Volume
from nerfkit.mesh import surface

BACKENDS = [pytest.param(reference, id="reference"), pytest.param(native, id="native")]
NOISE = torch.Generator().manual_seed(3)


def volume(n: int = 33) -> Volume:
    return Volume.empty(torch.tensor([-1.0, -1.0, -1.0]), (n, n + 3, n + 5), 2 / n, 8 / n)


def rough_view() -> tuple[torch.Tensor, torch.Tensor, Cameras]:
    """A depth map with steps, slopes and holes."""
    width, height = 97, 61
    pose = cameras.look_at(torch.tensor([0.2, -2.0, 0.4]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    camera = Cameras(pose[None], torch.tensor([[90.0, 92.0, 48.0, 31.0]]), width, height)
    steps = 2 + 0.5 * torch.rand(8, 13, generator=NOISE)
    depth = steps.repeat_interleave(8, 0).repeat_interleave(8, 1)[:height, :width].contiguous()
    depth = depth + 0.004 * cameras.pixel_centers(width, height)[..., 0]
    depth[torch.rand(height, width, generator=NOISE) < 0.1] = 0
    return (
        depth,
        torch.randint(0, 256, (height, width, 3), dtype=torch.uint8, generator=NOISE),
        camera,
    )


@pytest.mark.parametrize("integrate", BACKENDS)
def test_a_plane_is_exact_to_the_pixel(integrate: Callable[..., None]) -> None:
    # tilted in the image, so that a shift by half a pixel would move it by more than the tolerance
    normal = torch.nn.functional.normalize(torch.tensor([0.3, -0.8, 0.5]), dim=0)
    pose = cameras.look_at(torch.tensor([0.0, -2.0, 0.0]), torch.zeros(3), torch.tensor([0.0, 0.0, 1.0]))
    camera = Cameras(pose[None], torch.tensor([[80.0, 80.0, 31.3, 24.8]]), 64, 48)
    rays = cameras.rays(
        camera,
        torch.zeros(64 * 48, dtype=torch.int64),
        cameras.pixel_centers(64, 48).reshape(-1, 2),
    )
    t = -(rays.origins @ normal) / (rays.directions @ normal)
    depth = (t * (rays.directions @ pose[:3, 2])).reshape(48, 64)
    fused = volume(40)
    integrate(fused, depth, torch.zeros(48, 64, 3, dtype=torch.uint8), camera)
    vertices = torch.from_numpy(surface.marching_cubes(fused).vertices)
    uv = cameras.project(camera, vertices)[0][0]
    inner = ((uv > 1) & (uv < torch.tensor([63, 47]))).all(1)  # the outermost pixels have no four to interpolate
    distance = (vertices @ normal).abs()[inner] / fused.voxel_size
    half_pixel = 0.5 * 2.0 / 80 / fused.voxel_size
    assert inner.sum() > 500
    assert distance.quantile(0.99) < 0.02 < half_pixel * 0.3


def test_kernel_equals_reference_on_a_rough_depth_map() -> None:
    depth, rgb, camera = rough_view()
    confidence = torch.rand(depth.shape, generator=NOISE)
    confidence[confidence < 0.1] = 0
    ours, theirs = volume(), volume()
    for weight in (None, confidence):
        native(ours, depth, rgb, camera, weight)
        reference(theirs, depth, rgb, camera, weight)
    assert (theirs.weight > 0).sum() > 5000 and (theirs.color[..., 3] > 0).sum() > 1000
    assert theirs.tsdf.min() < -0.9 and theirs.tsdf.max() == 1
    for name in ("tsdf", "weight", "color"):
        difference = (getattr(ours, name) - getattr(theirs, name)).abs()
        # a voxel whose centre lies within rounding of a pixel's border or of the truncation may fall on either side
        assert (difference > 1e-4 * (255 if name == "color" else 1)).float().mean() < 1e-4, name


@pytest.mark.cpu_only
def test_kernel_gives_the_same_bytes_for_any_number_of_threads() -> None:
    depth, rgb, camera = rough_view()
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            results.append(volume())
            native(results[-1], depth, rgb, camera)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(results[0].tsdf, results[1].tsdf) and torch.equal(results[0].color, results[1].color)


@pytest.mark.parametrize("integrate", BACKENDS)
def test_what_is_behind_the_surface_and_the_camera_stays_unknown(
    integrate: Callable[..., None],
) -> None:
    pose = torch.eye(4)[None]
    camera = Cameras(pose, torch.tensor([[20.0, 20.0, 8.0, 8.0]]), 16, 16)
    fused = Volume.empty(torch.tensor([0.0, 0.0, -0.95]), (1, 1, 31), 0.1, 0.2)
    integrate(fused, torch.ones(16, 16), torch.full((16, 16, 3), 7, dtype=torch.uint8), camera)
    z = -0.95 + 0.1 * torch.arange(31)
    known = fused.weight[0, 0] > 0
    assert torch.equal(known, (z > 0) & (z < 1.2))
    colored = fused.color[0, 0, :, 3] > 0
    assert torch.equal(colored, (z > 0.8) & (z < 1.2))
    assert (fused.color[0, 0, colored, :3] == 7).all()
    torch.testing.assert_close(fused.tsdf[0, 0, known], ((1 - z[known]) / 0.2).clamp(-1, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("integrate", BACKENDS)
def test_no_surface_appears_between_foreground_and_background(
    integrate: Callable[..., None],
) -> None:
    camera = Cameras(torch.eye(4)[None], torch.tensor([[40.0, 40.0, 16.0, 16.0]]), 32, 32)
    depth = torch.ones(32, 32)
    depth[:, 16:] = 2
    fused = Volume.empty(torch.tensor([-0.5, -0.3, 0.8]), (60, 36, 80), 0.0171, 0.07)
    integrate(fused, depth, torch.zeros(32, 32, 3, dtype=torch.uint8), camera)
    z = torch.from_numpy(surface.marching_cubes(fused).vertices[:, 2])
    assert ((z - 1).abs() < 0.02).any() and ((z - 2).abs() < 0.02).any()
    assert not ((z > 1.09) & (z < 1.98)).any()  # a rim as deep as the truncation remains


def test_the_mean_is_weighted() -> None:
    camera = Cameras(torch.eye(4)[None], torch.tensor([[20.0, 20.0, 8.0, 8.0]]), 16, 16)
    fused = Volume.empty(torch.tensor([0.0, 0.0, 1.0]), (1, 1, 1), 0.1, 1.0)
    for depth, weight, value in ((1.2, 1.0, 10), (1.6, 3.0, 50)):
        picture = torch.full((16, 16, 3), value, dtype=torch.uint8)
        native(
            fused,
            torch.full((16, 16), depth),
            picture,
            camera,
            torch.full((16, 16), weight),
        )
    assert fused.tsdf.item() == pytest.approx(0.5, abs=1e-6)
    assert fused.weight.item() == 4 and fused.color.flatten().tolist() == pytest.approx([40, 40, 40, 4])


def test_wrong_arrays_are_refused() -> None:
    depth, rgb, camera = rough_view()
    with pytest.raises(ValueError, match="depth must be"):
        native(volume(), depth[:-1], rgb, camera)
    with pytest.raises(TypeError, match="rgb must be"):
        native(volume(), depth, rgb.float(), camera)


def test_a_ball_is_watertight_and_in_its_place() -> None:
    views = analytic.ring(24, below=True)
    fused = Volume.empty(torch.full((3,), -0.4), (65, 65, 65), 0.8 / 64, 0.05)
    for index in range(len(views)):
        rgb, depth = analytic.cast(views[index], table=False)
        native(fused, depth, (rgb * 255).round().to(torch.uint8), views[index])
    ball = surface.marching_cubes(fused)
    distance = analytic.distance_to_truth(torch.from_numpy(ball.vertices), table=False) / fused.voxel_size
    assert distance.median() < 0.1 and distance.quantile(0.95) < 0.3
    assert abs(ball.vertices.mean(0)).max() < 0.05 * fused.voxel_size * 10
