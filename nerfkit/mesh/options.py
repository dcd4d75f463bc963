"""What a user can choose about a mesh. Imports neither torch nor trimesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from nerfkit.limits import Faces, Natural, NotNegative, Positive, Share, Within

FEWEST_VOXELS = 16  # along the longest side of the bounds: of fewer nothing can be known again
Bounds = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class MeshOptions:
    source: Literal["depth", "density"] = "depth"
    """What the surface comes from. depth: the depth maps that the model renders at the training views, fused. density:
    the model's density field, cut at --density-threshold; for models that have one."""
    density_threshold: Literal["auto"] | Positive = "auto"
    """With --from density: density per scene unit from which there is something solid. auto: the one that takes half of
    the light over the edge of one voxel, ln 2 / voxel."""
    resolution: Annotated[int, Within(FEWEST_VOXELS)] | None = None
    """Voxels along the longest side of the bounds (default: as fine as the photos' pixels and as the views agree, 128
    to 512, with --from density to 256). Memory grows with the surface: 512 takes about 0.3 GB of it, 1024 four times as
    much."""
    voxel_size: Positive | None = None
    """Edge of a voxel in world units, in place of the resolution."""
    truncation: Annotated[float, Within(1, 100)] = 4.0
    """Distance, in voxels, behind which a depth map says nothing about what is there."""
    offset: Annotated[float, Within(-10, 10)] = 0.5
    """How many voxels before the fused depths the surface is taken. Where a leaf is seen from both sides, what the
    views say of its two faces cancels out: at 0 it is lost."""
    bounds: Bounds | None = None
    """Box to mesh as x0 y0 z0 x1 y1 z1 in world units; by default what the cameras look at."""
    depth: Literal["auto", "median", "expected"] = "auto"
    """Depth to fuse: median (of the opacity along a ray), expected, or auto: median where the model has it."""
    image_scale: Annotated[float, Within(0.01, 4)] = 1.0
    """Size of the fused depth maps as a fraction of the training photos'."""
    min_alpha: Share = 0.5
    """Pixels more transparent than this are not fused."""
    min_cosine: Share = 0.1
    """Pixels whose surface is seen at a flatter angle (cosine) are not fused: depth edges and grazing views."""
    min_weight: NotNegative = 0.05
    """Voxels with less evidence stay empty; a camera that looks straight at an opaque surface counts 1."""
    min_component: Share = 0.0002
    """Pieces with less than this fraction of the largest one's area are dropped; 1 keeps only the largest."""
    min_views: Literal["auto"] | Natural = "auto"
    """Pieces of less than 1 % of the largest one's area that fewer of the photos see are dropped: what few photos show
    stands loose in the air. 0 keeps them; auto: a quarter of the photos, 10 at most."""
    mode: Literal["scene", "object"] = "scene"
    """scene: all that the bounds hold. object: what the cameras look at, cut free of what is around it."""
    ground: Literal["keep", "remove"] = "keep"
    """Whether the table or ground on which an object stands is part of its mesh."""
    fill_holes: Share = 0.05
    """Holes up to this width, as a fraction of the mesh's extent, are closed, and slits as wide that are up to four
    times as long; 0 leaves all open."""
    smooth: Literal["auto"] | Share = "auto"
    """How far the noise of the surface is smoothed away, 0 (not at all) to 1; edges are kept. auto: 0.01 where the
    depth maps of different views agree to a quarter of a voxel, and up to 0.5 where they don't; at least 0.35 for a
    model that is a field of densities."""
    faces: Faces = 60_000
    """Faces to simplify to; 0 keeps all."""


@dataclass(frozen=True)
class TextureOptions:
    texture: Literal["photos", "model", "none"] = "photos"
    """photos: baked from the photos, and from the model where no photo sees the surface; model: from what the model
    shows at the photos' places; none: colours at the vertices."""
    texture_size: Annotated[int, Within(256, 8192)] | None = None
    """Side of the texture in pixels, 256 to 8192 (default: as fine as the photos, 1024 to 4096)."""
    fit: Natural = 6
    """Passes in which the finest level's vertices are moved until the drawn mesh agrees with the photos; 0: the surface
    stays as it was fused."""
    refine: Natural = 2
    """Passes over the photos in which the texture is fitted to them by rendering; 0: blended only."""
    normal_map: bool = True
    """Whether the shape that simplifying takes away is kept in a normal map."""


@dataclass(frozen=True)
class AssetOptions:
    engine: Literal["unity", "unreal", "godot", "blender"] | None = None
    """Who will load it: sets axes, units, names of levels and collision shapes, and the pivot at the base. Without: the
    coordinates of the cameras' world."""
    levels: Annotated[int, Within(1, 4)] | None = None
    """Levels of detail, each with a quarter of the faces of the one before, 1 to 4 (default: 4 for an engine, 1 for
    Godot, which makes its own, and without --engine)."""
    collision: Literal["auto", "none", "box", "hull", "convex"] = "auto"
    """Collision shape: a box, the convex hull, or convex parts; auto: convex parts with --engine, else none."""
    metric: bool = False
    """Insists on metres: an error where the poses have no scale (see --scale-ref of nerfkit poses)."""
    image_format: Literal["jpeg", "png", "webp"] = "jpeg"
    """Format of the textures in the file; normal maps are never lossy."""
