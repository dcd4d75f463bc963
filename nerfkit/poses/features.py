"""Features of all photos, SIFT or learned ones, by pycolmap."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from nerfkit.poses import learned, shrunk
from nerfkit.poses.repeatable import enter
from nerfkit.poses.shrunk import Size
from nerfkit.poses.worker import Tell, counting, settle

SMALL = 1000  # pixels of the longer side
FISHEYE = "OPENCV_FISHEYE"
# Focal lengths over the longer side, where EXIF has none: COLMAP's own, and for a fisheye 143 degrees along it.
_GUESS, FISHEYE_FOCAL = 1.2, 0.4
FEW = 20  # photos; with more of them, neighbours are close enough to do with fewer features, in a quarter of the time


def work(
    tell: Tell, database: str, folder: str, groups: list[dict[str, Any]], camera_model: str, settings: dict[str, int],
    masks: str | None = None, rig: Sequence[dict[str, Any]] = (), network: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Fills a new database with cameras, images, keypoints and descriptors.

    Each group (``names`` of photos, their ``size``) gets a camera of its own, started from its ``focal_px`` where that
    is known; photos are numbered in the order of their names. ``masks`` holds a mask ``NAME.jpg.png`` for every photo:
    no features where it is black. Where there are few photos, small ones are doubled first: they have too few features
    otherwise. With a ``rig`` (views as :class:`nerfkit.capture.panorama.View` has them, one for each group) cameras are
    known pinholes, fixed to each other. ``network`` is ALIKED's file; None: SIFT. Gives the names of the photos in
    which no features were found.
    """
    import pycolmap

    enter(_cameras(groups, camera_model, rig), database)
    reader, extraction = pycolmap.ImageReaderOptions(), pycolmap.FeatureExtractionOptions()
    extraction.max_image_size = settings["max_image_size"]
    extraction.sift.max_num_features = settings["max_num_features"]
    if network is not None:
        learned.use_extractor(extraction, network, settings["max_num_features"])
    sizes = {name: tuple(group["size"]) for group in groups for name in group["names"]}
    with counting(Path(database), "SELECT COUNT(*) FROM keypoints", len(sizes), tell):
        for (large, small), batch in _batches(sizes, settings["max_image_size"]).items():
            extraction.sift.first_octave = -1 if small and len(sizes) <= FEW else settings["first_octave"]
            if large and network is None:
                shrunk.extract(database, folder, batch, reader, extraction, masks)
                continue
            if masks is not None:
                reader.mask_path = masks
            pycolmap.extract_features(
                database, folder, image_names=list(batch), camera_mode=pycolmap.CameraMode.PER_IMAGE,
                reader_options=reader, extraction_options=extraction, device=pycolmap.Device.cpu,
            )  # fmt: skip
    _leave_out_unread(database)
    with pycolmap.Database.open(database) as filled:
        if rig:
            pycolmap.apply_rig_config([_rig_config(rig)], filled)
        found = {i.name for i in filled.read_all_images() if filled.num_keypoints_for_image(i.image_id) > 0}
    settle(Path(database))
    return {"featureless": sorted(sizes.keys() - found)}


def _cameras(groups: Sequence[dict[str, Any]], camera_model: str, rig: Sequence[dict[str, Any]]) -> Any:
    """A ``pycolmap.Reconstruction`` with a camera for each group, and the photos in the order of their names.

    COLMAP believes focal lengths that are known, and those of fisheyes: without it pairs are verified by a fundamental
    matrix over pixels, which no two fisheye photos have.
    """
    import pycolmap

    model = pycolmap.Reconstruction()
    camera_of: dict[str, int] = {}
    for number, group in enumerate(groups, 1):
        (width, height), focal = group["size"], group["focal_px"]
        guess = (FISHEYE_FOCAL if camera_model == FISHEYE else _GUESS) * max(width, height)
        kind = "PINHOLE" if rig else camera_model
        camera = pycolmap.Camera.create_from_model_name(number, kind, focal or guess, width, height)
        if rig:
            camera.params = rig[number - 1]["intrinsics"]
        camera.has_prior_focal_length = bool(rig) or focal is not None or camera_model == FISHEYE
        model.add_camera_with_trivial_rig(camera)
        camera_of |= dict.fromkeys(group["names"], number)
    for number, name in enumerate(sorted(camera_of), 1):
        image = pycolmap.Image(name=name, camera_id=camera_of[name], image_id=number)
        model.add_image_with_trivial_frame(image)
    return model


def _batches(sizes: Mapping[str, Size], max_image_size: int) -> dict[tuple[bool, bool], dict[str, Size]]:
    """Photos whose features are found in one go: those to be shrunk first, and those that are small."""
    batches: dict[tuple[bool, bool], dict[str, Size]] = {}
    for name, size in sizes.items():
        batches.setdefault((max(size) > max_image_size, max(size) < SMALL), {})[name] = size
    return batches


def _leave_out_unread(database: str) -> None:
    """Removes the images of photos that COLMAP could not read."""
    unread = "SELECT image_id FROM images WHERE image_id NOT IN (SELECT image_id FROM keypoints)"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"DELETE FROM frame_data WHERE data_id IN ({unread})")
        connection.execute("DELETE FROM frames WHERE frame_id NOT IN (SELECT frame_id FROM frame_data)")
        connection.execute(f"DELETE FROM images WHERE image_id IN ({unread})")


def _rig_config(rig: Sequence[dict[str, Any]]) -> Any:
    """The views' places in the rig, whose reference is the first."""
    import pycolmap

    rig_from_first = np.array(rig[0]["rig_from_cam"])
    cameras = []
    for number, view in enumerate(rig):
        cam_from_first = np.array(view["rig_from_cam"]).T @ rig_from_first
        pose = None if number == 0 else pycolmap.Rigid3d(pycolmap.Rotation3d(cam_from_first), np.zeros(3))
        cameras.append(pycolmap.RigConfigCamera(ref_sensor=number == 0, image_prefix=view["prefix"], cam_from_rig=pose))
    return pycolmap.RigConfig(cameras=cameras)
