"""How well the depth maps of different views agree on where the surface is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from nerfkit import cameras
from nerfkit.errors import NerfkitError
from nerfkit.mesh.fusion.depth_maps import DepthMap, DepthMaps

_VIEWS = 16  # looked at, evenly spread
_PEERS = 3  # others that each is compared with
_PIXELS = 1000  # of each view
_ALIKE = 0.01  # of the depth: points that are further apart lie on different things
_ENOUGH = 500  # pixels, to say something about all
_LEAST_SHARE = 0.1  # of uniform noise as deep as its distance, 2 % agree


@dataclass(frozen=True)
class Agreement:
    share: float
    """Of the pixels whose place another view sees, or sees through: those that lie on a surface there too."""
    noise: float
    """Standard deviation of a depth, in scene units, by the median of the differences between two views."""
    pixels: int
    """Compared ones."""


def agreement(maps: DepthMaps) -> Agreement:
    """Compares some pixels of some views with other views, in which nothing hides them."""
    chosen = [maps[index] for index in torch.linspace(0, len(maps) - 1, min(_VIEWS, len(maps))).round().int().tolist()]
    generator = torch.Generator().manual_seed(0)
    differences, depths = [], []
    for i, one in enumerate(chosen):
        points = _some_points(one, generator)
        for other in _nearest(i, chosen):
            difference, depth = _differences(points, other)
            differences.append(difference)
            depths.append(depth)
    if not differences:
        return Agreement(1.0, 0.0, 0)
    difference, depth = torch.cat(differences), torch.cat(depths)
    in_sight = difference > -_ALIKE * depth  # else there is something before it
    alike = in_sight & (difference < _ALIKE * depth)
    if not alike.any():
        return Agreement(0.0, math.inf, int(in_sight.sum()))
    noise = 1.4826 * float(difference[alike].abs().median()) / math.sqrt(2)  # of a normal distribution; of two maps
    return Agreement(float(alike.sum() / in_sight.sum()), noise, int(in_sight.sum()))


def check(found: Agreement) -> None:
    """Raises NerfkitError: the depth maps show no common surface."""
    if found.pixels >= _ENOUGH and found.share < _LEAST_SHARE:
        raise NerfkitError(
            f"no surface to mesh: the depth maps of different views agree on {100 * found.share:.0f} % of what they "
            "see; train longer, or check the poses"
        )


def _some_points(one: DepthMap, generator: torch.Generator) -> Tensor:
    """Places of random pixels that count, in the scene frame: [P, 3]."""
    row, column = ((one.depth > 0) & (one.pixels[..., 3] > 0)).nonzero(as_tuple=True)
    pick = torch.randperm(len(row), generator=generator)[:_PIXELS]
    row, column = row[pick], column[pick]
    fx, fy, cx, cy = one.camera.intrinsics[0].tolist()
    ray = torch.stack([(column + 0.5 - cx) / fx, (row + 0.5 - cy) / fy, torch.ones(len(row))], -1)
    pose = one.camera.world_from_cam[0]
    return (ray * one.depth[row, column, None]) @ pose[:3, :3].T + pose[:3, 3]


def _nearest(index: int, chosen: list[DepthMap]) -> list[DepthMap]:
    centers = torch.cat([one.camera.world_from_cam[:, :3, 3] for one in chosen])
    order = (centers - centers[index]).norm(dim=1).argsort().tolist()
    return [chosen[other] for other in order if other != index][:_PEERS]


def _differences(points: Tensor, other: DepthMap) -> tuple[Tensor, Tensor]:
    """Depth in another view minus that of the points, where it sees something, and the points' depth."""
    uv, z = cameras.project(other.camera, points)
    u, v = uv[0].unbind(1)
    inside = (z[0] > 0) & (u >= 0) & (v >= 0) & (u < other.camera.width) & (v < other.camera.height)
    u, v, z = u[inside].long(), v[inside].long(), z[0][inside]
    counts = (other.depth[v, u] > 0) & (other.pixels[v, u, 3] > 0)
    return (other.depth[v, u] - z)[counts], z[counts]
