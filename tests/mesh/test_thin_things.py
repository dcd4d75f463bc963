"""What is thinner than the truncation: leaves that are seen from both sides."""

from __future__ import annotations

import analytic
import numpy as np
import pytest
import torch

from nerfkit.core import choose_core
from nerfkit.core.volume import BlockMap
from nerfkit.mesh import MeshOptions
from nerfkit.mesh.fusion import fuse, surface
from nerfkit.mesh.shape import topology

VOXEL = 0.01
SIDE = 0.2  # half of the leaf's


def leaf(camera: object) -> torch.Tensor:
    """Depth [H, W] of a square without thickness in the plane x = 0."""
    origin, direction, axis = analytic.pixel_rays(camera)
    t = -origin[:, 0] / direction[:, 0]
    hit = origin + t[:, None] * direction
    seen = (t > 0) & (hit[:, 1:].abs() <= SIDE).all(1)
    return torch.where(seen, t * (direction @ axis), 0).float().reshape(camera.height, camera.width)


def fused_leaf(noise: float) -> object:
    """Seen from both sides by 16 cameras, each with an error of its own in depth."""
    views = analytic.ring(16)
    generator = torch.Generator().manual_seed(0)
    errors = noise * torch.randn(len(views), 1, 1, generator=generator)
    depth = torch.stack([leaf(views[i]) for i in range(len(views))])
    sure = torch.stack([fuse.confidence(d, (d > 0).float(), views[i], MeshOptions()) for i, d in enumerate(depth)])
    pixels = (255 * sure[..., None].expand(-1, -1, -1, 4)).round().to(torch.uint8)
    core = choose_core()
    wanted = BlockMap.empty(torch.full((3,), -0.32), (64, 64, 64), VOXEL, 4 * VOXEL)
    depth = torch.where(depth > 0, depth + errors, 0)
    core.tsdf_mark(wanted, depth, pixels, views)
    volume = fuse.allocated(wanted)
    core.tsdf_integrate(volume, depth, pixels, views)
    return volume


def pieces(volume: object, offset: float) -> tuple[list[float], np.ndarray]:
    """The shares of all faces that the connected pieces have, the largest first, and the vertices' distances."""
    mesh = surface.marching_cubes(volume, 0.05, offset=offset)
    counts = np.bincount(topology.components(mesh.faces, len(mesh.vertices)))
    inner = mesh.vertices[(np.abs(mesh.vertices[:, 1:]) < SIDE - 2 * VOXEL).all(1)]
    return sorted(counts / counts.sum(), reverse=True), np.abs(inner[:, 0])


@pytest.mark.parametrize("noise", [0.0, 0.3, 0.6])
def test_a_leaf_without_thickness_has_two_whole_faces(noise: float) -> None:
    volume = fused_leaf(noise * VOXEL)
    shares, distance = pieces(volume, MeshOptions().offset)
    assert shares[1] > 0.47 and shares[0] + shares[1] > 0.98
    assert distance.min() > 0.5 * VOXEL and np.median(distance) < 2 * VOXEL
    tangled, _ = pieces(volume, 0)  # what the views say cancels out
    assert tangled[1] < 0.45


def test_the_offset_is_in_voxels() -> None:
    """A ball grows by what is asked for, as far as it is seen head on."""
    views = analytic.ring(24, below=True)
    maps = [analytic.BallOnTable(table=False).render(views[i]) for i in range(len(views))]
    depth = torch.stack([one.depth for one in maps])
    sure = torch.stack([fuse.confidence(one.depth, one.alpha, views[i], MeshOptions()) for i, one in enumerate(maps)])
    pixels = (255 * sure[..., None].expand(-1, -1, -1, 4)).round().to(torch.uint8)
    core = choose_core()
    wanted = BlockMap.empty(torch.full((3,), -0.4), (80, 80, 80), VOXEL, 4 * VOXEL)
    core.tsdf_mark(wanted, depth, pixels, views)
    volume = fuse.allocated(wanted)
    core.tsdf_integrate(volume, depth, pixels, views)
    before = volume.tsdf.clone()
    radii = [
        np.median(np.linalg.norm(surface.marching_cubes(volume, 0.05, offset=offset).vertices, axis=1))
        for offset in (0, 0.5, 1)
    ]
    assert radii[0] == pytest.approx(analytic.RADIUS, abs=0.1 * VOXEL)
    for radius, offset in zip(radii[1:], (0.5, 1), strict=True):
        assert 0.6 * offset * VOXEL < radius - radii[0] < offset * VOXEL
    assert torch.equal(volume.tsdf, before)
