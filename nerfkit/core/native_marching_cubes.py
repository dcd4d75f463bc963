"""Marching cubes through the library."""

from __future__ import annotations

import torch
from torch import Tensor

from nerfkit.core import cubes
from nerfkit.core._library import call
from nerfkit.core.volume import BLOCK, Volume


def marching_cubes(volume: Volume, min_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """The zero level of a volume: see :func:`nerfkit.core.reference_marching_cubes.marching_cubes`.

    The result does not depend on the number of threads.

    Returns:
        vertices [P, 3] float32 in the scene frame, faces [F, 3] int32, colours [P, 3] uint8.

    Raises:
        TypeError, ValueError: an array of another type, shape or layout.
    """
    device, count = volume.tsdf.device, len(volume.blocks)
    words = [torch.empty(count, *shape, dtype=torch.int64, device=device) for shape in ((BLOCK,),) * 3 + ((3, BLOCK),)]
    inside, known, whole, edges = words
    vertices = torch.empty(count, 3, BLOCK, dtype=torch.int32, device=device)
    faces = torch.empty(count, BLOCK, dtype=torch.int32, device=device)
    neighbors, triangles = volume.neighbors(), cubes.triangles().to(device)
    call(
        "nk_cubes_count", min_weight=min_weight, neighbors=neighbors, triangles=triangles, tsdf=volume.tsdf,
        weight=volume.weight, inside=inside, known=known, cubes=whole, edges=edges, vertex_counts=vertices,
        face_counts=faces,
    )  # fmt: skip
    first_vertex, vertex_count = _sums_before(vertices)
    first_face, face_count = _sums_before(faces)
    made = (
        torch.empty(vertex_count, 3, device=device),
        torch.empty(face_count, 3, dtype=torch.int32, device=device),
        torch.empty(vertex_count, 3, dtype=torch.uint8, device=device),
    )
    call(
        "nk_cubes_fill", voxel_size=volume.voxel_size, origin=volume.origin, blocks=volume.blocks,
        neighbors=neighbors, triangles=triangles, tsdf=volume.tsdf, color=volume.color, inside=inside, cubes=whole,
        edges=edges, first_vertex=first_vertex, first_face=first_face, vertices=made[0], colors=made[2], faces=made[1],
    )  # fmt: skip
    return made


def _sums_before(counts: Tensor) -> tuple[Tensor, int]:
    """Of each number the sum of those before it, and the sum of all."""
    if not counts.numel():
        return counts, 0
    sums = counts.view(-1).cumsum(0)
    return (sums - counts.view(-1)).int().view_as(counts), int(sums[-1])
