"""What a user asks of a mesh, as a whole: which stages that takes. Imports neither torch nor trimesh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
        self.texture.check_size()
        if not 1 <= self.levels <= 4:
            raise NerfkitError(f"--levels {self.levels}: must be 1 to 4")
        if self.mesh.smooth != "auto" and not 0 <= self.mesh.smooth <= 1:
            raise NerfkitError(f"--smooth {self.mesh.smooth:g}: must be 0 to 1, or auto")
        if self.mesh.fill_holes < 0:
            raise NerfkitError(f"--fill-holes {self.mesh.fill_holes:g}: must be 0 or more")
        if self.texture.refine < 0:
            raise NerfkitError(f"--refine {self.texture.refine}: must be 0 or more")
        if self.texture.fit < 0:
            raise NerfkitError(f"--fit {self.texture.fit}: must be 0 or more")
        if self.mesh.faces < 0:
            raise NerfkitError(f"--faces {self.mesh.faces}: must be 0 (all) or more")
