"""Fusing depth maps into a mesh, beside Open3D (`pip install open3d`), and how much memory many views take.

    python scripts/bench_fusion.py [--views 50] [--resolution 512] [--size 512] [--rounds 3]
    python scripts/bench_fusion.py --memory [--views 200]

The depth maps are exact ones of a ball on a table. All sides take the same maps, in turns in one process, from depth
maps to triangles; figures are medians. The errors are distances of the vertices from the true surface, in voxels. With
--memory, one run of nerfkit alone, the depth maps in a folder as the command line has them, and the most memory that
the process took.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "5000")  # before torch, as the command line has it (nerfkit/machine.py)
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "mesh"))

import analytic
import numpy as np
import torch

from nerfkit.contracts import Cameras
from nerfkit.core import choose_core
from nerfkit.core.volume import BlockMap, Volume
from nerfkit.mesh import MeshOptions
from nerfkit.mesh.fusion import fuse, surface
from nerfkit.mesh.fusion.depth_maps import DepthMap, DepthMaps

TRUNCATION = 4.0  # voxels
SIDE = 1.0  # of the box, scene units
Meshed = tuple[np.ndarray, int]  # vertices [V, 3], number of faces


def views_of(count: int, size: int) -> Cameras:
    """Cameras on three circles around the ball, `size` pixels wide and high."""
    ring = analytic.ring(count)
    intrinsics = torch.tensor([[1.05 * size, 1.05 * size, 0.498 * size, 0.491 * size]]).expand(count, 4).contiguous()
    return Cameras(ring.world_from_cam, intrinsics, size, size)


def maps_of(views: Cameras) -> DepthMaps:
    maps = DepthMaps()
    for i in range(len(views)):
        rgb, depth = analytic.cast(views[i])
        maps.add(depth, rgb, (depth > 0).float(), views[i])
    return maps


def nerfkit_side(maps: DepthMaps, resolution: int) -> Meshed:
    core, voxel = choose_core(), SIDE / (resolution - 1)
    wanted = BlockMap.empty(torch.full((3,), -SIDE / 2), (resolution,) * 3, voxel, TRUNCATION * voxel)
    for batch in maps.batches():
        core.tsdf_mark(wanted, *batch)
    volume = Volume.of(wanted)
    for batch in maps.batches():
        core.tsdf_integrate(volume, *batch)
    mesh = surface.marching_cubes(volume, 0.5, core)
    return mesh.vertices, len(mesh.faces)


def arrays_for_open3d(one: DepthMap) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float]]:
    """Colours, depth, camera from world, and intrinsics of pixels whose centres have whole numbers."""
    fx, fy, cx, cy = one.camera.intrinsics[0].tolist()
    color = np.ascontiguousarray(one.pixels[..., :3].numpy())
    return color, one.depth.numpy(), one.camera.cam_from_world[0].double().numpy(), [fx, fy, cx - 0.5, cy - 0.5]


def scalable_side(maps: DepthMaps, resolution: int) -> Meshed:
    """Open3D's ScalableTSDFVolume."""
    import open3d

    voxel = SIDE / (resolution - 1)
    volume = open3d.pipelines.integration.ScalableTSDFVolume(
        voxel, TRUNCATION * voxel, open3d.pipelines.integration.TSDFVolumeColorType.RGB8
    )
    for one in maps:
        color, depth, cam_from_world, k = arrays_for_open3d(one)
        image = open3d.geometry.RGBDImage.create_from_color_and_depth(
            open3d.geometry.Image(color), open3d.geometry.Image(depth), 1.0, 10.0, False
        )
        camera = open3d.camera.PinholeCameraIntrinsic(depth.shape[1], depth.shape[0], *k)
        volume.integrate(image, camera, cam_from_world)
    mesh = volume.extract_triangle_mesh()
    return np.asarray(mesh.vertices), len(mesh.triangles)


def block_grid_side(maps: DepthMaps, resolution: int) -> Meshed:
    """Open3D's tensor VoxelBlockGrid."""
    import open3d

    core, voxel = open3d.core, SIDE / (resolution - 1)
    grid = open3d.t.geometry.VoxelBlockGrid(
        ("tsdf", "weight", "color"), (core.float32, core.float32, core.float32), ((1,), (1,), (3,)), voxel, 8, 60_000
    )
    for one in maps:
        color, depth, cam_from_world, (fx, fy, cx, cy) = arrays_for_open3d(one)
        seen = open3d.t.geometry.Image(core.Tensor(depth))
        colors = open3d.t.geometry.Image(core.Tensor(color.astype(np.float32)))
        k, pose = core.Tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]]), core.Tensor(cam_from_world)
        blocks = grid.compute_unique_block_coordinates(seen, k, pose, 1.0, 10.0, TRUNCATION)
        grid.integrate(blocks, seen, colors, k, pose, 1.0, 10.0, TRUNCATION)
    mesh = grid.extract_triangle_mesh(0.5)
    return mesh.vertex.positions.numpy(), len(mesh.triangle.indices)


def compare(options: argparse.Namespace) -> None:
    maps = maps_of(views_of(options.views, options.size))
    sides: dict[str, Callable[[DepthMaps, int], Meshed]] = {"nerfkit": nerfkit_side}
    if importlib.util.find_spec("open3d"):
        sides |= {"Open3D ScalableTSDFVolume": scalable_side, "Open3D VoxelBlockGrid": block_grid_side}
    walls: dict[str, list[float]] = {name: [] for name in sides}
    cpus: dict[str, list[float]] = {name: [] for name in sides}
    made: dict[str, Meshed] = {}
    for _ in range(options.rounds):
        for name, side in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            made[name] = side(maps, options.resolution)
            walls[name].append(time.perf_counter() - wall)
            cpus[name].append(time.process_time() - cpu)
    voxel = SIDE / (options.resolution - 1)
    for name, (vertices, faces) in made.items():
        if not faces:  # as with the ScalableTSDFVolume of Open3D 0.20.0
            print(f"{name}: no surface")
            continue
        error = analytic.distance_to_truth(torch.from_numpy(np.array(vertices)).double()).numpy() / voxel
        wall, cpu = statistics.median(walls[name]), statistics.median(cpus[name])
        ratios = [w / o for w, o in zip(walls[name], walls["nerfkit"], strict=True)]
        cpu_ratios = [c / o for c, o in zip(cpus[name], cpus["nerfkit"], strict=True)]
        print(
            f"{name}: {wall:.2f} s, {cpu:.2f} CPU seconds, {statistics.median(ratios):.1f} and "
            f"{statistics.median(cpu_ratios):.1f} times nerfkit's; {faces} faces; error mean {error.mean():.3f}, "
            f"95 % {np.quantile(error, 0.95):.3f}, 99 % {np.quantile(error, 0.99):.3f} voxels",
            flush=True,
        )


def memory(options: argparse.Namespace) -> None:
    views = views_of(options.views * 8 // 7 + 1, options.size)
    scene, asked = analytic.scene(views), MeshOptions(resolution=options.resolution)
    with tempfile.TemporaryDirectory() as folder:
        maps = fuse.render_depths(analytic.BallOnTable(), scene, asked, Path(folder) / "maps")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu = time.perf_counter(), time.process_time()
        volume = fuse.fuse(maps, scene, asked, choose_core())
        mesh = surface.marching_cubes(volume, asked.min_weight)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{len(maps)} views of {options.size}^2 at {options.resolution}^3: {len(volume.blocks)} blocks, "
        f"{len(mesh.faces)} faces, {wall:.1f} s, {cpu:.1f} CPU seconds, at most {peak / 2**20:.2f} GiB "
        f"({before / 2**20:.2f} before)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--views", type=int)
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    options.views = options.views or (200 if options.memory else 50)
    (memory if options.memory else compare)(options)


if __name__ == "__main__":
    main()
