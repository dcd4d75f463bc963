"""Points for cameras whose poses are known: features, matches and triangulation, by pycolmap."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nerfkit.poses import check
from nerfkit.poses.conventions import POSES
from nerfkit.poses.options import QUALITY
from nerfkit.poses.placing import poses, set_pose
from nerfkit.poses.refine import refine as refining
from nerfkit.poses.refinement import reprojection_error
from nerfkit.poses.repeatable import enter
from nerfkit.poses.triangulation import triangulated
from nerfkit.poses.worker import Tell, counting

FEW, SMALL = 20, 1000  # photos and pixels below which photos are doubled first, which finds more features
EVERY_PAIR = 100  # photos up to which all pairs are matched; of more, each with its nearest
NEAREST = 30
DISAGREEING, NOISY = 0.5, 0.9  # shares of the matches that agree, below which poses may be wrong, or are noisy
OFF = 1.0  # pixels: the median error of the matches above which poses may be noisy; 0.3 to 0.7 by right ones
CLEARLY = 0.7  # times the error of the matches: what another convention must win
BEHIND = 0.1  # share of the matches that may meet behind cameras by it


def work(
    tell: Tell, model: str, folder: str, database: str, output: str, seed: int, refine: str = "no",
    masks: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Finds points for the model read from ``model``, and adjusts its poses where ``refine`` says so: ``yes``, ``no``
    (they stay as they are), or ``auto``, where the matches contradict them.

    Writes the model with points into ``output``. ``masks`` is a folder with a mask for every photo, black where no
    features are looked for. Gives the counts of points and of verified matches, the share of these that agrees with the
    poses, the convention by which they would fit better where most don't agree (``meant``, of
    :data:`conventions.POSES`), the mean reprojection error in pixels, and, where poses were to be adjusted, the
    ``refinement`` (:class:`refinement.Refinement`).
    """
    import pycolmap

    posed = pycolmap.Reconstruction(model)
    if not Path(database).is_file():  # matches don't depend on the poses: a second attempt has them
        _enter(posed, database)
        _features(tell, posed, folder, database, masks)
        _matches(tell, posed, database, seed)
    made = triangulated(posed, database, output, seed)
    fit = check.fit(made, database)
    share = fit.pairs.share
    meant = convention_of(made, database) if share < DISAGREEING else None
    refinement = None
    if meant is None and (refine == "yes" or (refine == "auto" and (share < NOISY or fit.error > OFF))):
        made, refinement = refining(tell, made, fit, database, output, seed)
        share = share if refinement.refused else refinement.agreement[1]
    made.extract_colors_for_all_images(folder)
    made.write(output)
    return {
        "points": made.num_points3D(),
        "matches": len(fit.errors),
        "agreement": share,
        "meant": meant,
        "mean_reprojection_error_px": reprojection_error(made),
        "refinement": refinement and asdict(refinement),
    }


def convention_of(posed: Any, database: str) -> str | None:
    """The convention of :data:`conventions.POSES`, other than the poses', by which the matches would be far less off,
    and meet before their cameras; None where there is none.

    Noise doesn't hide it: of poses that are 2 degrees and 3 % off, matches are 38 px off and 2 % of those that fit meet
    behind; by the wrong conventions 73 px and more, and 40 to 90 % (fox).
    """
    given = poses(posed)
    best, meant = CLEARLY * check.fit(posed, database).error, None
    for words, change in POSES.items():
        for number, pose in given.items():
            set_pose(posed, number, change(torch.from_numpy(pose)).numpy())
        other = check.fit(posed, database)
        if other.error < best and other.pairs.reversed < BEHIND:
            best, meant = other.error, words
    for number, pose in given.items():
        set_pose(posed, number, pose)
    return meant


def _enter(posed: Any, database: str) -> None:
    for number in posed.cameras:
        posed.cameras[number].has_prior_focal_length = True  # pairs are verified with them; model files don't say it
    enter(posed, database)


def _features(tell: Tell, posed: Any, folder: str, database: str, masks: str | None) -> None:
    import pycolmap

    settings = QUALITY["normal"]
    extraction = pycolmap.FeatureExtractionOptions()
    extraction.max_image_size = settings.max_image_size
    extraction.sift.max_num_features = settings.max_num_features
    reader = pycolmap.ImageReaderOptions()
    if masks is not None:
        reader.mask_path = masks
    total = posed.num_images()
    names: dict[bool, list[str]] = {False: [], True: []}  # of photos as they are, and of those doubled
    for image in posed.images.values():
        longer = max(image.camera.width, image.camera.height)
        names[total <= FEW and longer < SMALL].append(image.name)
    with counting(Path(database), "SELECT COUNT(*) FROM keypoints", total, tell):
        for doubled, chosen in names.items():
            if chosen:
                extraction.sift.first_octave = -1 if doubled else settings.first_octave
                pycolmap.extract_features(
                    database, folder, image_names=chosen, camera_mode=pycolmap.CameraMode.PER_IMAGE,
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
        filled.clear_pose_priors()  # those of EXIF's GPS
        for image in filled.read_all_images():
            prior = pycolmap.PosePrior()
            prior.position = posed.find_image_with_name(image.name).projection_center()
            prior.coordinate_system = pycolmap.PosePriorCoordinateSystem.CARTESIAN
            prior.corr_data_id = image.data_id
            filled.write_pose_prior(prior)
