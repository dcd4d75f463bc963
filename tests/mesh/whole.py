"""The whole way from a model to a mesh, for tests that ask what comes out."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from nerfkit.contracts import Mesh
from nerfkit.mesh import AssetOptions, MeshOptions, TextureOptions, geometry
from nerfkit.mesh.pipeline import Pipeline
from nerfkit.mesh.request import Request
from nerfkit.progress import quiet


def extract(
    model: Any, scene: Any, options: MeshOptions, progress: Any = quiet, seconds: dict[str, float] | None = None
) -> Mesh:
    """The finest level without a texture, in the world frame."""
    with tempfile.TemporaryDirectory() as folder:
        request = Request(options, TextureOptions(texture="none"), AssetOptions())
        pipeline = Pipeline(scene, lambda: model, "analytic", request, Path(folder), progress)
        mesh = geometry.transformed(pipeline.levels()[0], scene.scene_from_world.inverse())
    if seconds is not None:
        seconds.update(pipeline.seconds)
    return mesh
