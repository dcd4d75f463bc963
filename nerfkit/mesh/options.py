"""What a user can choose about a mesh. Imports neither torch nor trimesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Bounds = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class MeshOptions:
    source: Literal["depth", "density"] = "depth"
    """What the surface comes from. depth: the depth maps that the model renders at the training views, fused. density:
    the model's density field, cut at --density-threshold; for models that have one."""
    density_threshold: Literal["auto"] | float = "auto"
    """With --from density: density per scene unit from which there is something solid. auto: the one that takes half of
    the light over the edge of one voxel, ln 2 / voxel."""
    resolution: int = 256
    """Voxels along the longest side of the bounds; 384 takes about 1.4 GB."""
    voxel_size: float | None = None
    """Edge of a voxel in world units, in place of the resolution."""
    truncation: float = 4.0
    """Distance, in voxels, behind which a depth map says nothing about what is there."""
    bounds: Bounds | None = None
    """Box to mesh as x0 y0 z0 x1 y1 z1 in world units; by default what the cameras look at."""
    depth: Literal["auto", "median", "expected"] = "auto"
    """Depth to fuse: median (of the opacity along a ray), expected, or auto: median where the model has it."""
    image_scale: float = 1.0
    """Size of the fused depth maps as a fraction of the training photos'."""
    min_alpha: float = 0.5
    """Pixels more transparent than this are not fused."""
    min_cosine: float = 0.1
    """Pixels whose surface is seen at a flatter angle (cosine) are not fused: depth edges and grazing views."""
    min_weight: float = 0.5
    """Voxels with less evidence stay empty; a camera that looks straight at an opaque surface counts 1."""
    min_component: float = 0.02
    """Pieces with less than this fraction of the largest one's faces are dropped; 1 keeps only the largest."""
    faces: int = 200_000
    """Faces to simplify to; 0 keeps all."""
