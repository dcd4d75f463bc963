"""What a user asks of a mesh, as a whole: which stages that takes. Imports neither torch nor trimesh."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from nerfkit import limits
from nerfkit.errors import NerfkitError
from nerfkit.mesh.assets.engines import engine
from nerfkit.mesh.options import AssetOptions, MeshOptions, TextureOptions

Stage = Literal["surface", "clean", "simplify", "unwrap", "fit", "bake", "normals", "collision"]


@dataclass(frozen=True)
class Request:
    """The options of a mesh and the suffix of the file it goes to."""

    mesh: MeshOptions
    texture: TextureOptions
    asset: AssetOptions
    suffix: str = ".glb"

    @property
    def levels(self) -> int:
        return self.asset.levels or engine(self.asset.engine).default_levels

    @property
    def collision(self) -> Literal["none", "box", "hull", "convex"]:
        if self.asset.collision != "auto":
            return self.asset.collision
        return "convex" if self.asset.engine else "none"

    @property
    def textured(self) -> bool:
        return self.texture.texture != "none" and self.suffix.lower() != ".ply"  # PLY has no textures

    def check(self) -> None:
        """Raises NerfkitError: a value that makes no sense."""
        for part in (self.mesh, self.texture, self.asset):
            limits.check(part)
        if self.mesh.bounds is not None and not all(map(math.isfinite, self.mesh.bounds)):
            raise NerfkitError("--bounds: must be finite; give x0 y0 z0 x1 y1 z1 in world units")
