"""Features of all photos, SIFT or learned ones, by pycolmap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerfkit.poses import learned, shrunk
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
    is known, and not from EXIF's where ``focal_is_wrong``. ``masks`` holds a mask ``NAME.jpg.png`` for every photo: no
    features where it is black. Where there are few photos, small ones are doubled first: they have too few features
    otherwise. With a ``rig`` (views as :class:`nerfkit.capture.panorama.View` has them, one for each group) cameras are
    known pinholes, fixed to each other. ``network`` is ALIKED's file; None: SIFT. Gives the names of the photos in
    which no features were found.
    """
    import pycolmap

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = "PINHOLE" if rig else camera_model
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.max_image_size = settings["max_image_size"]
    extraction.sift.max_num_features = settings["max_num_features"]
    if network is not None:
        learned.use_extractor(extraction, network, settings["max_num_features"])
    total = sum(len(group["names"]) for group in groups)
    batches = [[group] for group in groups] if rig else _batches(groups, settings["max_image_size"])
    with counting(Path(database), "SELECT COUNT(*) FROM keypoints", total, tell):
        for number, batch in enumerate(batches):
            longer, one_camera = max(batch[0]["size"]), len(batch) == 1
            doubled = total <= FEW and longer < SMALL
            extraction.sift.first_octave = -1 if doubled else settings["first_octave"]
            known = rig[number]["intrinsics"] if rig else _camera_params(camera_model, batch[0])
            reader.camera_params = ",".join(map(str, known)) if one_camera else ""
            sizes = {name: tuple(group["size"]) for group in batch for name in group["names"]}
            if network is None and longer > settings["max_image_size"]:
                shrunk.extract(database, folder, sizes, reader, extraction, masks, one_camera=one_camera)
                continue
            if masks is not None:
                reader.mask_path = masks
            mode = pycolmap.CameraMode.SINGLE if one_camera else pycolmap.CameraMode.PER_IMAGE
            pycolmap.extract_features(
                database, folder, image_names=list(sizes), camera_mode=mode,
                reader_options=reader, extraction_options=extraction, device=pycolmap.Device.cpu,
            )  # fmt: skip
    with pycolmap.Database.open(database) as filled:
        if rig:
            pycolmap.apply_rig_config([_rig_config(rig)], filled)
        else:
            _calibrate(filled, [group for batch in batches if len(batch) > 1 for group in batch], camera_model)
            _distrust(filled, groups)
        if reader.camera_model == FISHEYE:
            _trust_focal_lengths(filled)
        found = {i.name for i in filled.read_all_images() if filled.num_keypoints_for_image(i.image_id) > 0}
    settle(Path(database))
    return {"featureless": sorted({name for group in groups for name in group["names"]} - found)}


def _batches(groups: Sequence[dict[str, Any]], max_image_size: int) -> list[list[dict[str, Any]]]:
    """Groups whose features are found in one go: a call for each photo with a camera of its own would keep one core
    busy and leave the others idle."""
    batches: dict[Any, list[dict[str, Any]]] = {}
    for number, group in enumerate(groups):
        longer = max(group["size"])
        alike = number if len(group["names"]) > 1 else (longer > max_image_size, longer < SMALL)
        batches.setdefault(alike, []).append(group)
    return list(batches.values())


def _calibrate(filled: Any, groups: Sequence[dict[str, Any]], camera_model: str) -> None:
    """Gives photos of cameras of their own what is known of these."""
    known = {name: _camera_params(camera_model, group) for group in groups for name in group["names"]}
    for image in filled.read_all_images():
        if image.name in known:
            camera = filled.read_camera(image.camera_id)
            camera.params, camera.has_prior_focal_length = known[image.name], True
            filled.update_camera(camera)


def _camera_params(camera_model: str, group: dict[str, Any]) -> list[float]:
    """COLMAP's parameters of a group's camera."""
    import pycolmap

    width, height = group["size"]
    guess = (FISHEYE_FOCAL if camera_model == FISHEYE else _GUESS) * max(width, height)
    camera = pycolmap.Camera.create_from_model_name(0, camera_model, group["focal_px"] or guess, width, height)
    return [float(value) for value in camera.params]


def _distrust(database: Any, groups: list[dict[str, Any]]) -> None:
    """COLMAP takes given parameters for a calibration's; those that are guessed are not."""
    guessed = {name for group in groups if group["focal_px"] is None for name in group["names"]}
    for image in database.read_all_images():
        camera = database.read_camera(image.camera_id)
        if image.name in guessed and camera.has_prior_focal_length:
            camera.has_prior_focal_length = False
            database.update_camera(camera)


def _trust_focal_lengths(filled: Any) -> None:
    """Without it pairs are verified by a fundamental matrix over pixels, which no two fisheye photos have."""
    for camera in filled.read_all_cameras():
        camera.has_prior_focal_length = True
        filled.update_camera(camera)


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
