"""First stage: cameras, images and SIFT features of every photo into the COLMAP database."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nerfkit.capture.photos import Photo
from nerfkit.errors import NerfkitError
from nerfkit.poses import worker
from nerfkit.poses.options import PoseOptions
from nerfkit.progress import ProgressSink

log = logging.getLogger("nerfkit")

ENOUGH_FOR_OPENCV = 8  # photos of one camera that hold all of OPENCV's eight numbers well


def extract(database: Path, photos: Sequence[Photo], options: PoseOptions, progress: ProgressSink) -> None:
    """Fills the database; photos that are in it with their features are left as they are.

    Raises:
        NerfkitError: ``single_camera`` with photos of several sizes.
    """
    import pycolmap

    names = [photo.name for photo in photos]
    folder = photos[0].path.parent
    if not database.exists() or worker.count(database, "images") != len(photos):
        _import(database, folder, photos, options)
    settings = pycolmap.FeatureExtractionOptions()
    settings.max_image_size = options.size
    settings.sift.max_num_features = options.feature_count
    settings.sift.first_octave = 0  # no upsampling: 4-6 times faster at the same accuracy
    worker.run(
        lambda token: pycolmap.extract_features(
            database, folder, names, extraction_options=settings, device=pycolmap.Device.cpu, cancellation_token=token
        ),
        lambda: progress("features", worker.count(database, "keypoints"), len(photos)),
    )
    progress("features", len(photos), len(photos))
    _warn_without_features(database)


def camera_groups(photos: Sequence[Photo], single_camera: bool) -> list[list[Photo]]:
    """Photos that share a camera: size, focal length and device are alike.

    Raises:
        NerfkitError: ``single_camera`` with photos of several sizes.
    """
    groups: dict[Any, list[Photo]] = {}
    for photo in photos:
        lens = () if single_camera else (photo.focal_mm, photo.focal_35mm, photo.maker)
        groups.setdefault((photo.width, photo.height, *lens), []).append(photo)
    if single_camera and len(groups) > 1:
        sizes = ", ".join(f"{width}x{height} ({group[0].name})" for (width, height), group in groups.items())
        raise NerfkitError(f"{photos[0].path.parent}: photos of several sizes, {sizes}; leave out --single-camera")
    return list(groups.values())


def _import(database: Path, folder: Path, photos: Sequence[Photo], options: PoseOptions) -> None:
    """Cameras (with the focal length of their EXIF, where it has one) and images, from an empty database."""
    import pycolmap

    groups = camera_groups(photos, options.single_camera)
    with pycolmap.Database.open(database) as fresh:
        fresh.clear_all_tables()
    for group in groups:
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = options.camera_model
        if options.camera_model == "auto":
            reader.camera_model = "OPENCV" if len(group) >= ENOUGH_FOR_OPENCV else "SIMPLE_RADIAL"
        pycolmap.import_images(
            database, folder, pycolmap.CameraMode.SINGLE, [photo.name for photo in group], reader
        )  # fmt: skip


def _warn_without_features(database: Path) -> None:
    import pycolmap

    with pycolmap.Database.open(database) as opened:
        for image in opened.read_all_images():
            if opened.num_keypoints_for_image(image.image_id) == 0:
                log.warning("%s: no features found (empty, blurred or unreadable); it will not register", image.name)
