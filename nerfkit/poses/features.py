"""SIFT features of all photos, by pycolmap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nerfkit.poses.worker import Tell, counting, settle


def work(
    tell: Tell, database: str, folder: str, groups: list[list[str]], camera_model: str, settings: dict[str, int]
) -> dict[str, Any]:
    """Fills a new database with cameras, images, keypoints and descriptors.

    Each group of photos gets a camera of its own, started from EXIF's focal length where it is known.
    Gives the names of the photos in which no features were found.
    """
    import pycolmap

    reader = pycolmap.ImageReaderOptions()
    reader.camera_model = camera_model
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.use_gpu = False
    extraction.max_image_size = settings["max_image_size"]
    extraction.sift.max_num_features = settings["max_num_features"]
    extraction.sift.first_octave = settings["first_octave"]
    total = sum(len(names) for names in groups)
    with counting(Path(database), "SELECT COUNT(*) FROM keypoints", total, tell):
        for names in groups:
            pycolmap.extract_features(
                database, folder, image_names=names, camera_mode=pycolmap.CameraMode.SINGLE,
                reader_options=reader, extraction_options=extraction,
            )  # fmt: skip
    with pycolmap.Database.open(database) as filled:
        found = {i.name for i in filled.read_all_images() if filled.num_keypoints_for_image(i.image_id) > 0}
    settle(Path(database))
    return {"featureless": sorted({name for names in groups for name in names} - found)}
