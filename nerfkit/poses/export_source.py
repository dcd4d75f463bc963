"""Where exported cameras come from: a run, what ``nerfkit poses`` made, or any scene with poses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nerfkit.data.colmap import ColmapReader
from nerfkit.data.raw import RawScene, RawView
from nerfkit.data.readers import read

SCENE_OF_RUN = "scene.json"


def scene_of(path: Path, images: Path | None = None) -> RawScene:
    """The scene at ``path`` in the world frame of its source, with observations where there are any.

    Raises:
        NerfkitError: nothing there that has poses, or files that are wrong.
    """
    if (path / SCENE_OF_RUN).is_file():
        return _of_run(path)
    scene = read(path, images, observations=True)
    model = path / "colmap" / "sparse" / "0"
    if scene.source.name == "transforms.json" and ColmapReader().accepts(model):
        _observe(scene, ColmapReader(images or _folder(scene), observations=True).read(model))
    return scene


def _of_run(path: Path) -> RawScene:
    from nerfkit.data.scene import Scene

    scene = Scene.open(path)
    views = [
        RawView(view.path, view.source, view.mask_path, view.has_alpha, view.name, _bounds(view.bounds, scene))
        for view in scene.views
    ]
    held_out = frozenset(scene.views[index].path for index in scene.held_out)
    if scene.points_are_random:
        return RawScene(scene.source, views, held_out=held_out)
    points = scene.scene_from_world.inverse().points(scene.points.double()).numpy()
    return RawScene(scene.source, views, points, scene.point_colors.numpy().astype(np.uint8), held_out)


def _bounds(bounds: tuple[float, float] | None, scene: Any) -> tuple[float, float] | None:
    scale = scene.scene_from_world.scale
    return None if bounds is None else (bounds[0] / scale, bounds[1] / scale)


def _folder(scene: RawScene) -> Path:
    from nerfkit.poses.model import named

    return named(scene.views)[0]


def _observe(scene: RawScene, model: RawScene) -> None:
    """Takes points and observations from the COLMAP model beside ``transforms.json``, where it has the same photos."""
    known = {view.path.resolve(): view.seen for view in model.views}
    if len(known) != len(scene.views) or any(view.path.resolve() not in known for view in scene.views):
        return
    for view in scene.views:
        view.seen = known[view.path.resolve()]
    scene.points, scene.point_colors = model.points, model.point_colors
