"""Meshes from scene models: fuse (or density) → extract → clean → simplify → unwrap → bake → files for engines."""

from nerfkit.mesh.options import AssetOptions, MeshOptions, TextureOptions

__all__ = ["AssetOptions", "MeshOptions", "TextureOptions"]
