"""SIFT features of all photos, by pycolmap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nerfkit.poses.worker import Tell, counting, settle

SMALL = 1000  # pixels of the longer side
_GUESS = 1.2  # focal length over the longer side, where nothing is known: COLMAP's own
FEW = 20  # photos; with more of them, neighbours are close enough to do with fewer features, in a quarter of the time


def work(
    tell: Tell, database: str, folder: str, groups: list[dict[str, Any]], camera_model: str, settings: dict[str, int],
    masks: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Fills a new database with cameras, images, keypoints and descriptors.

    Each group (``names`` of photos, their ``size``) gets a camera of its own, started from its ``focal_px`` where that
    is known, and not from EXIF's where ``focal_is_wrong``. ``masks`` holds a mask ``NAME.jpg.png`` for every photo: no
    features where it is black. Where there are few photos, small ones are doubled first: they have too few features
    otherwise. Gives the names of the photos in which no features were found.
    """
    import pycolmap

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = camera_model
    if masks is not None:
        reader.mask_path = masks
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.max_image_size = settings["max_image_size"]
    extraction.sift.max_num_features = settings["max_num_features"]
    total = sum(len(group["names"]) for group in groups)
    with counting(Path(database), "SELECT COUNT(*) FROM keypoints", total, tell):
        for group in groups:
            doubled = total <= FEW and max(group["size"]) < SMALL
            extraction.sift.first_octave = -1 if doubled else settings["first_octave"]
            reader.camera_params = _camera_params(camera_model, group)
            pycolmap.extract_features(
                database, folder, image_names=group["names"], camera_mode=pycolmap.CameraMode.SINGLE,
                reader_options=reader, extraction_options=extraction, device=pycolmap.Device.cpu,
            )  # fmt: skip
    with pycolmap.Database.open(database) as filled:
        _distrust(filled, groups)
        found = {i.name for i in filled.read_all_images() if filled.num_keypoints_for_image(i.image_id) > 0}
    settle(Path(database))
    return {"featureless": sorted({name for group in groups for name in group["names"]} - found)}


def _camera_params(camera_model: str, group: dict[str, Any]) -> str:
    """COLMAP's parameters of a group's camera; empty: it looks into EXIF, where it reads the 35 mm equivalent alone."""
    import pycolmap

    focal = group["focal_px"]
    if focal is None and not group["focal_is_wrong"]:
        return ""
    width, height = group["size"]
    camera = pycolmap.Camera.create_from_model_name(
        0, camera_model, focal or _GUESS * max(width, height), width, height
    )
    return ", ".join(map(str, camera.params))


def _distrust(database: Any, groups: list[dict[str, Any]]) -> None:
    """COLMAP takes given parameters for a calibration's; those that are guessed are not."""
    guessed = {name for group in groups if group["focal_px"] is None for name in group["names"]}
    for image in database.read_all_images():
        camera = database.read_camera(image.camera_id)
        if image.name in guessed and camera.has_prior_focal_length:
            camera.has_prior_focal_length = False
            database.update_camera(camera)
