"""Density field → triangles: the surface on which a voxel's opacity passes a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nerfkit.contracts import HasDensity, HasRadiance, Mesh, SceneModel
from nerfkit.errors import NerfkitError
from nerfkit.mesh import geometry
from nerfkit.mesh.fusion.bounds import Grid, scene_grid
from nerfkit.mesh.options import MeshOptions
from nerfkit.mesh.requirements import require
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_CHUNK = 1 << 18  # points that a model is asked for at once
_BYTES_PER_VOXEL = 8
_FINEST = 256  # voxels along the longest side that are chosen unasked: each costs a look into the field
_MAX_VOXELS = 384**3


@dataclass(frozen=True)
class OpacityField:
    """Opacity ``1 - exp(-density * voxel_size)`` of every voxel of a grid, and the one where the surface lies.

    Between voxels marching cubes interpolates linearly. Opacity stays below 1 however dense the inside is, so that
    the surface keeps between an empty and a solid voxel, where density itself would draw it to the empty one.
    """

    grid: Grid
    opacity: np.ndarray  # [X, Y, Z] float32 in [0, 1]
    level: float
    threshold: float  # the density that it stands for, per scene unit


def check(model: SceneModel, options: MeshOptions) -> None:
    """Raises NerfkitError: a model without a density field, or a threshold that is no density."""
    if not isinstance(model, HasDensity):
        raise NerfkitError("this model has no density field; use --from depth")
    threshold = options.density_threshold
    if threshold != "auto" and not 0 < threshold < math.inf:
        raise NerfkitError(f"--density-threshold {threshold:g}: must be more than 0; give a density, or auto")


def evaluate(model: SceneModel, scene: Scene, options: MeshOptions, progress: ProgressSink = quiet) -> OpacityField:
    """Asks the model for its density at the voxels of the options' box, as :func:`nerfkit.mesh.fusion.fuse.fuse` has it.

    Raises:
        NerfkitError: no density field, a wrong threshold, or too many voxels.
    """
    check(model, options)
    assert isinstance(model, HasDensity)
    grid = scene_grid(scene, options, _FINEST)
    _check_size(grid)
    place = device_of(model)
    opacity = torch.empty(math.prod(grid.shape))  # [X * Y * Z]
    for start in range(0, len(opacity), _CHUNK):
        progress("density", start, len(opacity))
        index = torch.arange(start, min(start + _CHUNK, len(opacity)))
        with torch.no_grad():
            density = model.density(voxel_centers(grid, index).to(place))
        depth = density.detach().float().nan_to_num(0.0).clamp_min(0) * grid.voxel_size
        opacity[start : start + len(index)] = -torch.expm1(-depth).cpu()
    progress("density", len(opacity), len(opacity))
    auto = options.density_threshold == "auto"
    threshold = math.log(2) / grid.voxel_size if auto else float(options.density_threshold)
    level = -math.expm1(-threshold * grid.voxel_size)
    return OpacityField(grid, opacity.reshape(grid.shape).numpy(), level, threshold)


def _check_size(grid: Grid) -> None:
    x, y, z = grid.shape
    if x * y * z > _MAX_VOXELS:
        raise NerfkitError(
            f"a mesh volume of {x} x {y} x {z} voxels needs {x * y * z * _BYTES_PER_VOXEL / 1e9:.1f} GB; "
            "choose a lower resolution, a larger voxel size or smaller bounds"
        )


def marching_cubes(field: OpacityField) -> Mesh:
    """The field's level, in the scene frame, without colours (Lewiner et al. 2003, by scikit-image).

    Faces are counter-clockwise seen from the emptier side, outside. A solid that reaches beyond the grid is left open
    there.

    Raises:
        NerfkitError: nothing in the field is as dense as the threshold, or everything is.
    """
    measure = require("skimage.measure")
    least, most = float(field.opacity.min()), float(field.opacity.max())
    if most <= field.level or min(field.opacity.shape) < 2:
        raise NerfkitError(
            f"no surface to mesh: the model's density inside the bounds is {density_of(most, field)} at most, the "
            f"threshold {field.threshold:.3g}; train longer, lower --density-threshold or give other --bounds"
        )
    if least >= field.level:
        raise NerfkitError(
            f"no surface to mesh: the model's density inside the bounds is {density_of(least, field)} at least, the "
            f"threshold {field.threshold:.3g}; raise --density-threshold or give larger --bounds"
        )
    grid, faces, _, _ = measure.marching_cubes(field.opacity, field.level, gradient_direction="ascent")
    vertices = field.grid.origin.numpy().astype(np.float64) + field.grid.voxel_size * grid.astype(np.float64)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32))


def color(model: SceneModel, mesh: Mesh) -> np.ndarray | None:
    """Colours [V, 3] uint8 of vertices in the scene frame, each seen from straight above its surface.

    None for a model that doesn't tell the light that leaves a point.
    """
    if not isinstance(model, HasRadiance):
        return None
    place = device_of(model)
    vertices = torch.from_numpy(np.ascontiguousarray(mesh.vertices)).float()
    along = -torch.from_numpy(geometry.vertex_normals(mesh))
    parts = []
    for xyz, directions in zip(vertices.split(_CHUNK), along.split(_CHUNK)):
        with torch.no_grad():
            parts.append(model.radiance(xyz.to(place), directions.to(place)).detach().float().cpu())
    colors: np.ndarray = (torch.cat(parts).nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return colors


def voxel_centers(grid: Grid, index: Tensor) -> Tensor:
    """Places [P, 3] float32 of voxels, by their index [P] in the flat grid, z fastest."""
    _, y, z = grid.shape
    xyz = torch.stack([index // (y * z), index // z % y, index % z], -1)
    return grid.origin + grid.voxel_size * xyz.float()


def density_of(opacity: float, field: OpacityField) -> str:
    """A density in words; one that float32 can't tell from solid is only known to be large."""
    return "very large" if opacity >= 1 else f"{-math.log1p(-opacity) / field.grid.voxel_size:.3g}"


def device_of(model: SceneModel) -> torch.device:
    """Where the model's parameters lie; the CPU for one without any."""
    groups = (group for optimizer in model.optimizers.values() for group in optimizer.param_groups)
    return next((parameter.device for group in groups for parameter in group["params"]), torch.device("cpu"))
