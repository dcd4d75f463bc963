"""Points for cameras whose poses are known: features, matches and triangulation, by pycolmap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from nerfkit.poses.options import QUALITY
from nerfkit.poses.worker import Tell, counting

FEW, SMALL = 20, 1000  # photos and pixels below which photos are doubled first, which finds more features
EVERY_PAIR = 100  # photos up to which all pairs are matched; of more, each with its nearest
NEAREST = 30
DISAGREEING, AGREEING = 0.5, 0.8  # shares of the matches, by wrong poses and by right ones


def work(tell: Tell, model: str, folder: str, database: str, output: str, seed: int) -> dict[str, Any]:
    """Triangulates points in the model read from ``model``, whose poses and intrinsics stay as they are.

    Writes the model with points into ``output``. Gives the counts of points and of verified matches, the share of these
    that agrees with the poses and, where most don't, the convention by which most would (:data:`conventions.POSES`).
    """
    import pycolmap

    from nerfkit.poses.check import agreement

    posed = pycolmap.Reconstruction(model)
    if not Path(database).is_file():  # matches don't depend on the poses: a second attempt has them
        _features(tell, posed, folder, database)
        _matches(tell, posed, database, seed)
    Path(output).mkdir(parents=True, exist_ok=True)
    made = pycolmap.triangulate_points(_numbered(posed, database), database, folder, output)
    made.write(output)
    share = agreement(made, database)
    with pycolmap.Database.open(database) as filled:
        matches = int(filled.num_inlier_matches())
    error = made.compute_mean_reprojection_error() if made.num_points3D() else None
    return {
        "points": made.num_points3D(),
        "matches": matches,
        "agreement": share,
        "meant": _meant(made, database) if share < DISAGREEING else None,
        "mean_reprojection_error_px": error,
    }


def _meant(posed: Any, database: str) -> str | None:
    import pycolmap
    import torch

    from nerfkit.poses.check import agreement
    from nerfkit.poses.conventions import POSES

    known = {number: frame.rig_from_world for number, frame in posed.frames.items()}
    for words, change in POSES.items():
        for number, old in known.items():
            world_from_cam = np.eye(4)
            world_from_cam[:3] = old.inverse().matrix()
            pose = torch.linalg.inv(change(torch.from_numpy(world_from_cam))).numpy()
            posed.frame(number).rig_from_world = pycolmap.Rigid3d(pycolmap.Rotation3d(pose[:3, :3]), pose[:3, 3])
        if agreement(posed, database) > AGREEING:
            return words
    return None


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
            doubled = total <= FEW and max(camera.width, camera.height) < SMALL
            extraction.sift.first_octave = -1 if doubled else settings.first_octave
            reader = pycolmap.ImageReaderOptions()
            reader.camera_model = camera.model.name
            reader.camera_params = ",".join(repr(float(value)) for value in camera.params)
            pycolmap.extract_features(
                database, folder, image_names=names, camera_mode=pycolmap.CameraMode.SINGLE,
                reader_options=reader, extraction_options=extraction, device=pycolmap.Device.cpu,
            )  # fmt: skip


def _numbered(posed: Any, database: str) -> Any:
    """The model with the numbers that the database gave to cameras, rigs, frames and images, which must be the same."""
    import pycolmap

    model = pycolmap.Reconstruction()
    with pycolmap.Database.open(database) as filled:
        images, frames = filled.read_all_images(), filled.read_all_frames()
        cameras, rigs = filled.read_all_cameras(), filled.read_all_rigs()
    known = {image.image_id: posed.find_image_with_name(image.name) for image in images}
    exact = {image.camera_id: known[image.image_id].camera.params for image in images}
    for camera in cameras:
        camera.params = exact[camera.camera_id]
        model.add_camera(camera)
    for rig in rigs:
        model.add_rig(rig)
    for frame in frames:
        (data,) = frame.data_ids
        frame.rig_from_world = known[data.id].cam_from_world()
        model.add_frame(frame)
    for image in images:
        model.add_image(image)
    for frame in frames:
        model.register_frame(frame.frame_id)
    return model


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
        filled.clear_pose_priors()  # those of EXIF's GPS
        for image in filled.read_all_images():
            prior = pycolmap.PosePrior()
            prior.position = posed.find_image_with_name(image.name).projection_center()
            prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
            prior.corr_data_id = image.data_id
            filled.write_pose_prior(prior)
