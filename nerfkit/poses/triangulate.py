"""Points for cameras whose poses are known: features, matches and triangulation, by pycolmap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nerfkit.poses.options import QUALITY
from nerfkit.poses.worker import Tell, counting

EVERY_PAIR = 100  # photos up to which all pairs are matched; of more, each with its nearest
NEAREST = 30


def work(tell: Tell, model: str, folder: str, database: str, output: str, seed: int) -> dict[str, Any]:
    """Triangulates points in the model read from ``model``, whose poses and intrinsics stay as they are.

    Writes the model with points into ``output``. Gives the counts of points and of verified matches, and the share of
    these that agrees with the poses.
    """
    import pycolmap

    from nerfkit.poses.mapping import agreement

    posed = pycolmap.Reconstruction(model)
    _features(tell, posed, folder, database)
    _matches(tell, posed, database, seed)
    Path(output).mkdir(parents=True, exist_ok=True)
    made = pycolmap.triangulate_points(posed, database, folder, output)
    made.write(output)
    with pycolmap.Database.open(database) as filled:
        matches = int(filled.num_inlier_matches())
    error = made.compute_mean_reprojection_error() if made.num_points3D() else None
    return {
        "points": made.num_points3D(),
        "matches": matches,
        "agreement": agreement(made, database),
        "mean_reprojection_error_px": error,
    }


def _features(tell: Tell, posed: Any, folder: str, database: str) -> None:
    import pycolmap

    settings = QUALITY["normal"]
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.max_image_size = settings.max_image_size
    extraction.sift.max_num_features = settings.max_num_features
    total = posed.num_images()
    with counting(Path(database), "SELECT COUNT(*) FROM keypoints", total, tell):
        for camera in posed.cameras.values():
            names = [image.name for image in posed.images.values() if image.camera_id == camera.camera_id]
            small = max(camera.width, camera.height) < settings.max_image_size
            extraction.sift.first_octave = -1 if small else settings.first_octave
            reader = pycolmap.ImageReaderOptions()
            reader.camera_model = camera.model.name
            reader.camera_params = ",".join(repr(float(value)) for value in camera.params)
            pycolmap.extract_features(
                database, folder, image_names=names, camera_mode=pycolmap.CameraMode.SINGLE,
                reader_options=reader, extraction_options=extraction, device=pycolmap.Device.cpu,
            )  # fmt: skip


def _matches(tell: Tell, posed: Any, database: str, seed: int) -> None:
    import pycolmap

    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    options = {"verification_options": verification, "device": pycolmap.Device.cpu}
    count = posed.num_images()
    total = count * (count - 1) // 2 if count <= EVERY_PAIR else count * NEAREST // 2
    if count > EVERY_PAIR:
        _tell_positions(posed, database)
    with counting(Path(database), "SELECT COUNT(*) FROM two_view_geometries", total, tell):
        if count <= EVERY_PAIR:
            pycolmap.match_exhaustive(database, **options)
        else:
            pairing = pycolmap.SpatialPairingOptions()
            pairing.ignore_z = False
            pairing.max_num_neighbors = NEAREST
            pairing.max_distance = float(np.finfo(np.float64).max) ** 0.25
            pycolmap.match_spatial(database, pairing_options=pairing, **options)


def _tell_positions(posed: Any, database: str) -> None:
    """Writes where the cameras stand as priors, by which neighbours are found."""
    import pycolmap

    with pycolmap.Database.open(database) as filled:
        for image in filled.read_all_images():
            prior = pycolmap.PosePrior()
            prior.position = posed.find_image_with_name(image.name).projection_center()
            prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
            prior.corr_data_id = image.data_id
            filled.write_pose_prior(prior)
