"""TSDF volume → triangles, by marching cubes."""

from __future__ import annotations

from dataclasses import replace

from nerfkit.contracts import Mesh, RenderCore
from nerfkit.core import choose_core
from nerfkit.core.volume import Volume
from nerfkit.errors import NerfkitError


def marching_cubes(
    volume: Volume, min_weight: float = 0.5, core: RenderCore | None = None, *, offset: float = 0.0
) -> Mesh:
    """The level of the volume ``offset`` voxels before the fused depths, in the volume's frame, by ``core`` or the
    best one for its device.

    A cube of eight voxels is meshed only where all eight have ``weight >= min_weight``; colours are interpolated
    between them; faces are counter-clockwise seen from the positive side, outside. No vertex is there twice, and a
    surface that ends nowhere at unknown voxels is closed.

    Raises:
        NerfkitError: there is no surface in the volume.
    """
    core = core or choose_core(device=volume.tsdf.device)
    if offset:
        volume = replace(volume, tsdf=volume.tsdf - offset * volume.voxel_size / volume.truncation)
    vertices, faces, colors = core.marching_cubes(volume, min_weight)
    if not len(faces):
        raise NerfkitError("no surface to mesh: no two views agree on one inside the bounds; train longer, "
                           "lower the minimum weight or give other bounds")  # fmt: skip
    return Mesh(vertices.cpu().numpy(), faces.cpu().numpy(), colors.cpu().numpy())
