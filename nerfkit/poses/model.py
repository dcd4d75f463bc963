"""A scene that was read, as a COLMAP model, and its photos in one folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerfkit import files
from nerfkit.capture.pixels import large_pictures
from nerfkit.contracts import Cameras
from nerfkit.data.raw import RawScene, RawView, photo_header
from nerfkit.errors import NerfkitError

JPEG = (".jpg", ".jpeg")
MODELS = {"pinhole": "PINHOLE", "opencv": "OPENCV", "fisheye": "OPENCV_FISHEYE"}


def reconstruction(scene: RawScene, names: Mapping[str, RawView]) -> Any:
    """A ``pycolmap.Reconstruction``: cameras that are equal are one, points have the observations that the views keep.

    ``names`` gives each image's name. Every image is a frame of its own: rigs have been resolved by the readers.

    Raises:
        NerfkitError: a camera model that COLMAP lacks.
    """
    import pycolmap

    model = pycolmap.Reconstruction()
    known: dict[tuple[Any, ...], int] = {}
    tracks: list[list[Any]] = [[] for _ in scene.points]
    for number, (name, view) in enumerate(names.items(), 1):
        key = camera_key(view.camera)
        if key not in known:
            known[key] = len(known) + 1
            model.add_camera_with_trivial_rig(colmap_camera(view.camera, known[key]))
        points, pixels = _distinct(view)
        pose = view.camera.cam_from_world[0].numpy()
        cam_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(pose[:3, :3]), pose[:3, 3])
        image = pycolmap.Image(name=name, keypoints=pixels, camera_id=known[key], image_id=number)
        model.add_image_with_trivial_frame(image, cam_from_world)
        for spot, point in enumerate(points):
            tracks[point].append(pycolmap.TrackElement(number, spot))
    for xyz, color, elements in zip(scene.points, scene.point_colors, tracks, strict=True):
        model.add_point3D(xyz, pycolmap.Track(elements), color)
    model.update_point_3d_errors()
    return model


def _distinct(view: RawView) -> tuple[Any, Any]:
    """The observations of a view without a point's second ones, which COLMAP doesn't know."""
    if view.seen is None:
        return np.zeros(0, np.int64), np.zeros((0, 2))
    points, first = np.unique(view.seen.points, return_index=True)
    return points, view.seen.pixels[first]


def camera_key(camera: Cameras) -> tuple[Any, ...]:
    """Equal for views that have one camera in common."""
    distortion = () if camera.distortion is None else tuple(camera.distortion[0].tolist())
    return camera.model, camera.width, camera.height, tuple(camera.intrinsics[0].tolist()), distortion


def colmap_camera(camera: Cameras, number: int) -> Any:
    import pycolmap

    if camera.model not in MODELS:
        raise NerfkitError(f"a camera is {camera.model}, which COLMAP has no model for; make perspective views first")
    params = camera.intrinsics[0].tolist() + ([] if camera.distortion is None else camera.distortion[0].tolist())
    params += [0.0] * ((0 if camera.model == "pinhole" else 8) - len(params))
    made = pycolmap.Camera(
        camera_id=number, model=MODELS[camera.model], width=camera.width, height=camera.height, params=params
    )
    made.has_prior_focal_length = True
    return made


def named(views: Sequence[RawView]) -> tuple[Path, dict[str, RawView]]:
    """The folder that holds all photos, and each photo's path below it."""
    paths = {view.path.resolve(): view for view in views}
    folder = Path(os.path.commonpath([path.parent for path in paths]))
    return folder, {path.relative_to(folder).as_posix(): view for path, view in paths.items()}


def turned(view: RawView) -> bool:
    """Whether the view's camera belongs to the photo as its EXIF tag turns it, not as it is stored."""
    width, height, _, quarter = photo_header(view.path)
    return quarter and (view.camera.width, view.camera.height) == (height, width) != (width, height)


def place(view: RawView, target: Path) -> None:
    """Puts a photo at ``target``: linked, or copied where links aren't possible; written upright if it is
    :func:`turned`."""
    if turned(view) or target.suffix.lower() != view.path.suffix.lower():
        target.parent.mkdir(parents=True, exist_ok=True)
        from PIL import Image, ImageOps

        with large_pictures(), Image.open(view.path) as photo:
            upright = ImageOps.exif_transpose(photo) if turned(view) else photo
            options: dict[str, Any] = {"quality": 95, "subsampling": 0} if target.suffix.lower() in JPEG else {}
            upright.save(target, **options)
        return
    files.link(view.path, target)
