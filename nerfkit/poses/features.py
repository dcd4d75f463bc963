"""SIFT features of all photos, by pycolmap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nerfkit.poses.worker import Tell, counting, settle

SMALL = 1000  # pixels of the longer side
FEW = 20  # photos; with more of them, neighbours are close enough to do with fewer features, in a quarter of the time


def work(
    tell: Tell, database: str, folder: str, groups: list[dict[str, Any]], camera_model: str, settings: dict[str, int]
) -> dict[str, Any]:
    """Fills a new database with cameras, images, keypoints and descriptors.

    Each group (``names`` of photos, ``longest_side`` in pixels) gets a camera of its own, started from EXIF's focal
    length where it is known. Where there are few photos, small ones are doubled first: they have too few features
    otherwise. Gives the names of the photos in which no features were found.
    """
    import pycolmap

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = camera_model
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.max_image_size = settings["max_image_size"]
    extraction.sift.max_num_features = settings["max_num_features"]
    total = sum(len(group["names"]) for group in groups)
    with counting(Path(database), "SELECT COUNT(*) FROM keypoints", total, tell):
        for group in groups:
            doubled = total <= FEW and group["longest_side"] < SMALL
            extraction.sift.first_octave = -1 if doubled else settings["first_octave"]
            pycolmap.extract_features(
                database, folder, image_names=group["names"], camera_mode=pycolmap.CameraMode.SINGLE,
                reader_options=reader, extraction_options=extraction, device=pycolmap.Device.cpu,
            )  # fmt: skip
    with pycolmap.Database.open(database) as filled:
        found = {i.name for i in filled.read_all_images() if filled.num_keypoints_for_image(i.image_id) > 0}
    settle(Path(database))
    return {"featureless": sorted({name for group in groups for name in group["names"]} - found)}
