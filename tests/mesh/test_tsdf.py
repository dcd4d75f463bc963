from __future__ import annotations

from collections.abc import Callable

import analytic
import pytest
import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Cameras
from nerfkit.core.native_tsdf import tsdf_integrate as native
from nerfkit.core.native_tsdf import tsdf_mark as native_mark
from nerfkit.core.reference_tsdf import tsdf_integrate as reference
from nerfkit.core.reference_tsdf import tsdf_mark as reference_mark
from nerfkit.core.volume import BlockMap, Volume
from nerfkit.mesh import MeshOptions
from nerfkit.mesh.fusion import fuse, surface

BACKENDS = [pytest.param(reference, id="reference", marks=pytest.mark.cpu_only), pytest.param(native, id="native")]
NOISE = torch.Generator().manual_seed(3)


def box(low: float | list[float], blocks: tuple[int, int, int], voxel_size: float, truncation: float) -> Volume:
    """A volume of all blocks of a box."""
    origin = torch.tensor(low).expand(3).clone()
    return Volume.empty(origin, torch.ones(blocks).nonzero().int(), voxel_size, truncation)


def frames(depth: Tensor, rgb: Tensor | None = None, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Depth [1, H, W] and pixels [1, H, W, 4] of one view."""
    pixels = torch.full((*depth.shape, 4), 255, dtype=torch.uint8)
    pixels[..., :3] = 0 if rgb is None else rgb
    if weight is not None:
        pixels[..., 3] = (weight * 255).round()
    return depth[None], pixels[None]


def rough_views(count: int = 5) -> tuple[Tensor, Tensor, Cameras]:
    """Depth maps with steps, slopes and holes, from cameras of which one stands in the middle of it all."""
    width, height = 97, 61
    eyes = torch.tensor([[0.2, -2.0, 0.4], [1.5, 1.2, 0.3], [0.1, 0.2, 0.1], [-2.0, 0.1, 0.2], [0.0, 0.0, 3.0]])[:count]
    pose = cameras.look_at(eyes, torch.tensor([0.05, 0.0, 0.0]), torch.tensor([0.0, 0.1, 1.0]))
    intrinsics = torch.tensor([[90.0, 92.0, 45.0, 33.0]]).expand(count, 4).contiguous()
    steps = 1.5 + torch.rand(count, 8, 13, generator=NOISE)
    depth = steps.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, :height, :width].contiguous()
    depth = depth + 0.004 * cameras.pixel_centers(width, height)[..., 0]
    depth[torch.rand(count, height, width, generator=NOISE) < 0.1] = 0
    depth[:, :24, :32] = 0
    pixels = torch.randint(0, 256, (count, height, width, 4), dtype=torch.uint8, generator=NOISE)
    pixels[..., 3][torch.rand(count, height, width, generator=NOISE) < 0.1] = 0
    return depth, pixels, Cameras(pose, intrinsics, width, height)


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
    fused = box(-1.0, (5, 5, 5), 2 / 40, 8 / 40)
    integrate(fused, *frames(depth), camera)
    vertices = torch.from_numpy(surface.marching_cubes(fused).vertices)
    uv = cameras.project(camera, vertices)[0][0]
    inner = ((uv > 1) & (uv < torch.tensor([63, 47]))).all(1)  # the outermost pixels have no four to interpolate
    distance = (vertices @ normal).abs()[inner] / fused.voxel_size
    half_pixel = 0.5 * 2.0 / 80 / fused.voxel_size
    assert inner.sum() > 500
    assert distance.quantile(0.99) < 0.02 < half_pixel * 0.3


def test_kernel_equals_reference_on_rough_depth_maps() -> None:
    depth, pixels, views = rough_views()
    ours, theirs = (box(-1.0, (5, 6, 4), 0.05, 0.2) for _ in range(2))
    for part in (slice(0, 2), slice(2, 5)):
        native(ours, depth[part], pixels[part], views[part])
        reference(theirs, depth[part], pixels[part], views[part])
    assert (theirs.weight > 0).sum() > 5000 and (theirs.color[:, 3] > 0).sum() > 1000
    assert theirs.tsdf.min() < -0.9 and theirs.tsdf.max() == 1
    for name in ("tsdf", "weight", "color"):
        difference = (getattr(ours, name).float() - getattr(theirs, name).float()).abs()
        # a voxel whose centre lies within rounding of a pixel's border or of the truncation may fall on either side
        allowed = 0.15 if name == "color" else 1e-4  # of 255, as a 16-bit float is rounded, and a sum in another order
        assert (difference > allowed).float().mean() < 5e-4, name


def test_marked_blocks_equal_the_references() -> None:
    depth, pixels, views = rough_views()
    row, column = (depth[0] * (pixels[0, ..., 3] > 0)).nonzero()[300]
    offset = (torch.tensor([column, row]) + 0.5 - views.intrinsics[0, 2:]) / views.intrinsics[0, :2]
    seen = views.world_from_cam[0] @ (depth[0, row, column] * torch.tensor([*offset, 1, 1 / depth[0, row, column]]))
    for voxel_size, truncation in ((0.05, 0.2), (0.02, 0.17), (0.003, 0.012)):
        origin = seen[:3] - 20 * voxel_size
        maps = [BlockMap.empty(origin, (41, 50, 33), voxel_size, truncation) for _ in range(2)]
        native_mark(maps[0], depth, pixels, views)
        reference_mark(maps[1], depth, pixels, views)
        marked = maps[1].marks.sum()
        assert marked > 0 and set(maps[0].marks.unique().tolist()) <= {0, 1}
        assert (maps[0].marks != maps[1].marks).sum() <= 0.01 * marked  # a block's side within rounding of a reach


@pytest.mark.parametrize(
    "mark",
    [pytest.param(reference_mark, id="reference", marks=pytest.mark.cpu_only), pytest.param(native_mark, id="native")],
)
def test_all_that_is_near_a_surface_is_marked(mark: Callable[..., None]) -> None:
    """The surfaces of marked blocks are those of all blocks of the box."""
    views = analytic.around(10, 100)
    maps = [analytic.cast(views[i], table=False) for i in range(len(views))]
    depth, pixels = (torch.cat(part) for part in zip(*(frames(d, (rgb * 255).round()) for rgb, d in maps), strict=True))
    pixels[..., 3] = (depth > 0) * 255
    marked = BlockMap.empty(torch.full((3,), -0.4), (80, 80, 80), 0.01, 0.04)
    mark(marked, depth, pixels, views)
    sparse, whole = Volume.of(marked), box(-0.4, (10, 10, 10), 0.01, 0.04)
    assert 200 < len(sparse.blocks) < 0.6 * len(whole.blocks)
    for volume in (sparse, whole):
        native(volume, depth, pixels, views)
    # what only the whole box has is free space
    there = {tuple(block) for block in sparse.blocks.tolist()}
    missing = torch.tensor([tuple(block) not in there for block in whole.blocks.tolist()])
    rest = whole.tsdf[missing][whole.weight[missing] > 0]
    assert len(rest) > 1000 and rest.min() > 0.9
    assert len(surface.marching_cubes(sparse).faces) == len(surface.marching_cubes(whole).faces)


@pytest.mark.cpu_only
def test_kernels_give_the_same_bytes_for_any_number_of_threads() -> None:
    depth, pixels, views = rough_views()
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            marked = BlockMap.empty(torch.full((3,), -1.0), (40, 48, 32), 0.05, 0.2)
            native_mark(marked, depth, pixels, views)
            results.append(Volume.of(marked))
            native(results[-1], depth, pixels, views)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(getattr(results[0], name), getattr(results[1], name))
               for name in ("blocks", "tsdf", "weight", "color"))  # fmt: skip


@pytest.mark.parametrize("integrate", BACKENDS)
def test_what_is_behind_the_surface_and_the_camera_stays_unknown(
    integrate: Callable[..., None],
) -> None:
    camera = Cameras(torch.eye(4)[None], torch.tensor([[20.0, 20.0, 8.0, 8.0]]), 16, 16)
    fused = box([0.0, 0.0, -0.95], (1, 1, 4), 0.1, 0.2)
    integrate(fused, *frames(torch.ones(16, 16), torch.full((16, 16, 3), 7)), camera)
    z = (-0.95 + 0.1 * torch.arange(32)).view(4, 8)  # of the voxels at x = y = 0
    known = fused.weight[:, 0, 0] > 0
    assert torch.equal(known, (z > 0) & (z < 1.2))
    colored = fused.color[:, 3, 0, 0] > 0
    assert torch.equal(colored, (z > 0.8) & (z < 1.2))
    assert (fused.color[:, :3, 0, 0].movedim(1, -1)[colored] == 7).all()
    torch.testing.assert_close(fused.tsdf[:, 0, 0][known], ((1 - z[known]) / 0.2).clamp(-1, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("integrate", BACKENDS)
def test_no_surface_appears_between_foreground_and_background(
    integrate: Callable[..., None],
) -> None:
    camera = Cameras(torch.eye(4)[None], torch.tensor([[40.0, 40.0, 16.0, 16.0]]), 32, 32)
    depth = torch.ones(32, 32)
    depth[:, 16:] = 2
    fused = box([-0.5, -0.3, 0.8], (8, 5, 10), 0.0171, 0.07)
    integrate(fused, *frames(depth), camera)
    z = torch.from_numpy(surface.marching_cubes(fused).vertices[:, 2])
    assert ((z - 1).abs() < 0.02).any() and ((z - 2).abs() < 0.02).any()
    assert not ((z > 1.09) & (z < 1.98)).any()  # a rim as deep as the truncation remains


@pytest.mark.parametrize("integrate", BACKENDS)
@pytest.mark.parametrize("together", [True, False])
def test_the_mean_is_weighted(integrate: Callable[..., None], together: bool) -> None:
    camera = Cameras(torch.eye(4).expand(2, 4, 4), torch.tensor([[20.0, 20.0, 8.0, 8.0]]).expand(2, 4), 16, 16)
    fused = box([0.0, 0.0, 1.0], (1, 1, 1), 0.1, 1.0)
    views = [
        frames(torch.full((16, 16), depth), torch.full((16, 16, 3), value), torch.tensor(weight))
        for depth, weight, value in ((1.2, 0.2, 10), (1.6, 0.6, 50))
    ]
    depth, pixels = (torch.cat(part) for part in zip(*views, strict=True))
    for part in (slice(0, 2),) if together else (slice(0, 1), slice(1, 2)):
        integrate(fused, depth[part], pixels[part], camera[part])
    assert fused.tsdf[0, 0, 0, 0].item() == pytest.approx(0.5, abs=1e-6)
    assert fused.weight[0, 0, 0, 0].item() == pytest.approx(0.8)
    assert fused.color[0, :, 0, 0, 0].tolist() == pytest.approx([40, 40, 40, 0.8], rel=1e-3)


@pytest.mark.parametrize("integrate", BACKENDS)
@pytest.mark.parametrize("first", [True, False])
def test_a_floater_is_carved_away_whenever_it_comes(integrate: Callable[..., None], first: bool) -> None:
    """One view of nine shows a speck before the ball; the others look through the place where it would be."""
    views = analytic.around(9, 80)
    maps = [analytic.cast(views[i], table=False) for i in range(9)]
    depth, pixels = (torch.cat(part) for part in zip(*(frames(d) for _, d in maps), strict=True))
    pixels[..., 3] = 255  # the background is known to be far
    depth = torch.where(depth > 0, depth, 5.0)
    depth[0, 30:34, 30:34] = 0.55
    order = list(range(9)) if first else list(range(8, -1, -1))
    marked = BlockMap.empty(torch.full((3,), -0.6), (40, 40, 40), 0.03, 0.12)
    native_mark(marked, depth, pixels, views)
    fused = Volume.of(marked)
    for view in order:
        integrate(fused, depth[view : view + 1], pixels[view : view + 1], views[view])
    ball = torch.from_numpy(surface.marching_cubes(fused, 0.5).vertices)
    assert ball.norm(dim=1).max() < analytic.RADIUS + 0.03
    alone = Volume.of(marked)
    integrate(alone, depth[:1], pixels[:1], views[0])
    speck = torch.from_numpy(surface.marching_cubes(alone, 0.5).vertices)
    assert speck.norm(dim=1).max() > analytic.RADIUS + 0.1  # it was there


def test_wrong_arrays_are_refused() -> None:
    depth, pixels, views = rough_views()
    volume = box(-1.0, (1, 1, 1), 0.1, 0.4)
    with pytest.raises(ValueError, match="depth must be"):
        native(volume, depth[:, :-1], pixels, views)
    with pytest.raises(TypeError, match="pixels must be"):
        native(volume, depth, pixels.float(), views)
    with pytest.raises(RuntimeError, match="must be positive"):
        native(box(-1.0, (1, 1, 1), 0.1, 0.0), depth, pixels, views)


@pytest.mark.parametrize(
    ("half", "voxels"),
    [(None, 64), (None, 128), ((0.21, 0.3, 0.17), 72), ((0.21, 0.3, 0.17), 128), ((0.3, 0.25, 0.0125), 128)],
    ids=["ball 64", "ball 128", "box 72", "box 128", "sheet as thick as the truncation"],
)
def test_solids_are_in_their_place(half: tuple[float, float, float] | None, voxels: int) -> None:
    shape, views = analytic.Shape(half), analytic.around(30)
    voxel_size = 0.8 / (voxels - 1)
    fused = BlockMap.empty(torch.full((3,), -0.4), (voxels,) * 3, voxel_size, 4 * voxel_size)
    drawn = [shape.render(views[i]) for i in range(len(views))]
    parts = [
        frames(one.depth, (one.rgb * 255).round(), fuse.confidence(one.depth, one.alpha, views[i], MeshOptions()))
        for i, one in enumerate(drawn)
    ]
    depth, pixels = (torch.cat(part) for part in zip(*parts, strict=True))
    native_mark(fused, depth, pixels, views)
    volume = Volume.of(fused)
    native(volume, depth, pixels, views)
    mesh = surface.marching_cubes(volume)
    distance = shape.distance(torch.from_numpy(mesh.vertices).double()) / voxel_size
    assert distance.mean() < 0.15 and distance.quantile(0.95) < 0.3
    assert abs(mesh.vertices.mean(0)).max() < 0.5 * voxel_size
