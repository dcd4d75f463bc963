"""Meshes from scene models: fuse (or density) → extract → clean → simplify → write, each stage usable alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nerfkit.mesh.options import MeshOptions
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from nerfkit.contracts import Mesh, RenderCore, SceneModel
    from nerfkit.data.scene import Scene

__all__ = ["MeshOptions", "extract"]


def extract(
    model: SceneModel,
    scene: Scene,
    options: MeshOptions | None = None,
    progress: ProgressSink = quiet,
    *,
    core: RenderCore | None = None,
    seconds: dict[str, float] | None = None,
) -> Mesh:
    """A coloured triangle mesh of what ``model`` shows at the training views, in the world frame.

    With ``options.source`` "density" of its density field instead, uncoloured where the model is no ``HasRadiance``.

    Args:
        model: the scene model, in the scene's frame.
        scene: the scene it was trained on.
        options: resolution, bounds, number of faces...
        progress: hears of the stages ``fuse`` (or ``density``), ``extract``, ``clean`` and ``simplify``.
        core: whose operators fuse; by default the best one for the model's device.
        seconds: filled with the time of each stage.

    Raises:
        NerfkitError: nothing opaque is seen, the volume is too large, a model without the density field asked for, or
            the ``mesh`` extra is not installed.
    """
    from nerfkit.mesh import clean, geometry, simplify
    from nerfkit.mesh.requirements import require

    for module in ("skimage", "scipy", "fast_simplification", "trimesh"):
        require(module)  # before the work, not after it
    options = options or MeshOptions()
    seconds = {} if seconds is None else seconds
    if options.source == "density":
        mesh = _from_density(model, scene, options, progress, seconds)
    else:
        mesh = _from_depth(model, scene, options, core or _core_for(model), progress, seconds)
    mesh = geometry.transformed(mesh, scene.scene_from_world.inverse())
    with _stage("clean", seconds, progress):
        if options.bounds is not None:
            mesh = clean.crop(mesh, options.bounds)
        mesh = clean.clean(mesh, options.min_component)
    with _stage("simplify", seconds, progress):
        mesh = simplify.simplify(mesh, options.faces)
        mesh.normals = geometry.vertex_normals(mesh)
    return mesh


def _from_depth(
    model: SceneModel, scene: Scene, options: MeshOptions, core: RenderCore, progress: ProgressSink,
    seconds: dict[str, float],
) -> Mesh:  # fmt: skip
    """The fused surface, in the scene frame."""
    from nerfkit.mesh import fuse, surface
    from nerfkit.mesh.density import device_of

    with _stage("fuse", seconds):
        maps = fuse.render_depths(model, scene, options, progress=progress)
        volume = fuse.fuse(maps, scene, options, core, device_of(model), progress)
        del maps
    with _stage("extract", seconds, progress):
        return surface.marching_cubes(volume, options.min_weight, core)


def _from_density(
    model: SceneModel, scene: Scene, options: MeshOptions, progress: ProgressSink, seconds: dict[str, float]
) -> Mesh:
    """The density field's surface, in the scene frame."""
    from nerfkit.mesh import density

    with _stage("density", seconds):
        field = density.evaluate(model, scene, options, progress)
    with _stage("extract", seconds, progress):
        mesh = density.marching_cubes(field)
        mesh.colors = density.color(model, mesh)
    return mesh


def _core_for(model: SceneModel) -> RenderCore:
    from nerfkit.core import choose_core
    from nerfkit.mesh.density import device_of

    return choose_core(device=device_of(model))


@contextmanager
def _stage(name: str, seconds: dict[str, float], progress: ProgressSink = quiet) -> Iterator[None]:
    progress(name, 0, 1)
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 3)
    progress(name, 1, 1)
