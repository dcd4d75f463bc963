"""The definitions as a backend: slow, on any device, in single or double precision."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.contracts import Cameras, Gaussians, Rays
from nerfkit.core import (
    reference,
    reference_distortion,
    reference_draw,
    reference_frequency,
    reference_hash_grid,
    reference_march,
    reference_marching_cubes,
    reference_ray_samples,
    reference_resample,
    reference_tsdf,
)
from nerfkit.core.arguments import checked_degree
from nerfkit.core.photo_step import composed_photo_step
from nerfkit.core.reference_photo_colors import photo_colors
from nerfkit.core.types import CHANNELS, Layers, Rasterized, SplatStats, Target


class ReferenceCore:
    """The render core through PyTorch's own operators: for other devices, for doubt, and for a look at what happens.

    Takes and gives what its definitions do; they check no arguments beyond what PyTorch checks.
    """

    name = "reference"
    adam = staticmethod(reference.adam)
    composite = staticmethod(reference.composite)
    distortion = staticmethod(reference_distortion.distortion)
    draw_mesh = staticmethod(reference_draw.draw_mesh)
    exp_density = staticmethod(reference_ray_samples.exp_density)
    frequency_encode = staticmethod(reference_frequency.frequency_encode)
    hash_encode = staticmethod(reference_hash_grid.hash_encode)
    intervals = staticmethod(reference_ray_samples.intervals)
    march = staticmethod(reference_march.march)
    marching_cubes = staticmethod(reference_marching_cubes.marching_cubes)
    missed = staticmethod(reference_ray_samples.missed)
    mlp = staticmethod(reference.mlp)
    opacity = staticmethod(reference_ray_samples.opacity)
    photo_colors = staticmethod(photo_colors)
    photo_step = composed_photo_step
    ray_ranges = staticmethod(reference_ray_samples.ray_ranges)
    sample_points = staticmethod(reference_ray_samples.sample_points)
    sh_encode = staticmethod(reference.sh_basis)
    to_cube = staticmethod(reference_ray_samples.to_cube)
    tsdf_integrate = staticmethod(reference_tsdf.tsdf_integrate)
    tsdf_mark = staticmethod(reference_tsdf.tsdf_mark)

    def rasterize(
        self,
        gaussians: Gaussians,
        camera: Cameras,
        background: Tensor,
        *,
        degree: int | None = None,
        layers: Layers = "rgb",
        near: float = 0.01,
        median_depth: bool = False,
        stats: SplatStats | None = None,
    ) -> Rasterized:
        """Draws Gaussians: see :meth:`nerfkit.core.native.NativeCore.rasterize`. Keeps [P, S] of every tile."""
        degree = checked_degree(gaussians, camera, degree)
        splats = reference.project(gaussians, cameras.moved(camera, gaussians.means), degree, near)
        seen = reference.tiles(splats, camera.width, camera.height)
        image, alpha = reference.draw(seen, splats, background.to(gaussians.means), CHANNELS[layers])
        if stats is not None and splats.means.requires_grad:
            _gather(stats, splats, [tile for row in seen for tile in row], camera)
        median = reference.median_depth(seen).detach() if median_depth else None
        instances = sum(len(tile.chosen) for row in seen for tile in row)
        return Rasterized(image, alpha, median, int(splats.visible.sum()), instances, splats.visible)

    def target(self, planes: Tensor) -> Target:
        return Target(planes, reference.blur(planes), reference.blur(planes * planes))

    def photometric_loss(self, image: Tensor, target: Target, ssim_weight: float) -> Tensor:
        return reference.photometric_loss(image, target.planes, ssim_weight)

    def rays(self, cameras_: Cameras, camera_index: Tensor, pixels: Tensor) -> Rays:
        """In the pixels' precision, whatever that of the cameras."""
        return cameras.rays(cameras.moved(cameras_, pixels), camera_index, pixels)

    def resample(self, edges: Tensor, weights: Tensor, u: Tensor) -> Tensor:
        with torch.no_grad():
            return reference_resample.resample(edges, weights, u)


def _gather(stats: SplatStats, splats: reference.Splats, seen: list[reference.Tile], camera: Cameras) -> None:
    """Lets the backward pass add to the statistics.

    The gradients of the offsets to single pixels pass by first, then that of the means, which is their sum.
    """
    pull = torch.zeros_like(splats.means)
    visible = splats.visible

    def of_pixels(chosen: Tensor, grad: Tensor) -> None:
        pull.index_add_(0, chosen, grad.abs().sum(0))

    def of_means(grad: Tensor) -> None:
        stats.add(pull, visible, camera.width, camera.height)

    for tile in seen:
        tile.away.register_hook(functools.partial(of_pixels, tile.chosen))
    splats.means.register_hook(of_means)
