"""Third stage: camera poses and points from the matches, and whether to believe them."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nerfkit.poses import worker
from nerfkit.progress import ProgressSink

if TYPE_CHECKING:
    import pycolmap

log = logging.getLogger("nerfkit")

MIN_PHOTOS = 3  # a model of two photos has nothing that could contradict it
AGREEMENT_PX = 4.0  # as COLMAP's verification
SUSPICIOUS = 0.90  # agreement of matches: right models of fox have 95 %, a wrong one 84 %
TRIES = 2


def reconstruct(
    database: Path, photo_folder: Path, photos: int, seed: int, progress: ProgressSink
) -> tuple[pycolmap.Reconstruction | None, float]:
    """The best model of the photos and the share of verified matches that agree with it.

    A low reprojection error proves little: an unlucky start may end in a wrong model with all photos
    registered. A model that its matches disagree with, or that has less than half of the photos, is mapped
    again with another seed, and the better one counts. None where nothing registers.
    """
    best: tuple[pycolmap.Reconstruction | None, float] = None, 0.0
    for attempt in range(TRIES):
        model = _map(database, photo_folder, photos, seed + attempt, progress)
        if model is not None:
            share = agreement(database, model)
            if best[0] is None or _score(model, share) > _score(best[0], best[1]):
                best = model, share
            if share >= SUSPICIOUS and 2 * model.num_reg_images() >= photos:
                break
    progress("mapping", photos, photos)
    if best[0] is not None and best[1] < SUSPICIOUS:
        log.warning("the poses may be wrong: only %.0f %% of the matches between photos agree with them", 100 * best[1])
    return best


def agreement(database: Path, model: pycolmap.Reconstruction) -> float:
    """Share of the verified matches between registered photos within 4 px of the final epipolar geometry.

    The distance is Sampson's (Hartley and Zisserman, Multiple View Geometry, eq. 11.9), in the undistorted
    image, scaled by the mean focal length.
    """
    import pycolmap

    registered = model.reg_image_ids()
    with pycolmap.Database.open(database) as opened:
        pair_ids, geometries = opened.read_two_view_geometries()
        rays = {i: _rays(model.images[i].camera, opened.read_keypoints(i)[:, :2]) for i in registered}
    agreeing = total = 0
    for pair_id, geometry in zip(pair_ids, geometries, strict=True):
        a, b = pycolmap.pair_id_to_image_pair(pair_id)
        matches = geometry.inlier_matches  # [M, 2]
        if a not in rays or b not in rays or len(matches) == 0:
            continue
        image_a, image_b = model.images[a], model.images[b]
        b_from_a = image_b.cam_from_world() * image_a.cam_from_world().inverse()
        squared = sampson(_essential(b_from_a), rays[a][matches[:, 0]], rays[b][matches[:, 1]])
        focal = 0.5 * (image_a.camera.mean_focal_length() + image_b.camera.mean_focal_length())
        agreeing += int((squared <= (AGREEMENT_PX / focal) ** 2).sum())
        total += len(matches)
    return agreeing / total if total else 0.0


def sampson(essential: np.ndarray, x_a: np.ndarray, x_b: np.ndarray) -> np.ndarray:  # [M]
    """Squared Sampson distance of matches [M, 2] in normalised image coordinates, ``x_b^T E x_a = 0``."""
    a = np.concatenate([x_a, np.ones((len(x_a), 1))], 1)
    b = np.concatenate([x_b, np.ones((len(x_b), 1))], 1)
    line_b, line_a = a @ essential.T, b @ essential
    error = (b * line_b).sum(1) ** 2
    scale = (line_b[:, :2] ** 2).sum(1) + (line_a[:, :2] ** 2).sum(1)
    result: np.ndarray = np.where(np.isfinite(error), error, np.inf) / np.maximum(scale, 1e-18)
    return result


def _map(
    database: Path, photo_folder: Path, photos: int, seed: int, progress: ProgressSink
) -> pycolmap.Reconstruction | None:
    """One run of COLMAP's incremental mapping; of its models the one with most photos, then most points."""
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = MIN_PHOTOS
    options.max_num_models = 10
    options.random_seed = seed
    options.mapper.random_seed = seed
    options.triangulation.random_seed = seed
    done = 0
    models: dict[int, pycolmap.Reconstruction] = {}

    def first_two() -> None:
        nonlocal done
        done = 2

    def one_more() -> None:
        nonlocal done
        done += 1

    def work(token: pycolmap.CancellationToken) -> None:
        models.update(
            pycolmap.incremental_mapping(
                database, photo_folder, folder, options, initial_image_pair_callback=first_two,
                next_image_callback=one_more, cancellation_token=token,
            )  # fmt: skip
        )

    with tempfile.TemporaryDirectory(dir=database.parent, prefix="mapping.") as folder:
        worker.run(work, lambda: progress("mapping", min(done, photos), photos))
    return max(models.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()), default=None)


def _score(model: pycolmap.Reconstruction, share: float) -> float:
    return float(model.num_reg_images() * share)


def _rays(camera: pycolmap.Camera, pixels: np.ndarray) -> np.ndarray:  # [K, 2]
    result: np.ndarray = camera.cam_from_img(pixels.astype(np.float64))
    return result


def _essential(b_from_a: pycolmap.Rigid3d) -> np.ndarray:  # [3, 3]
    x, y, z = b_from_a.translation / max(float(np.linalg.norm(b_from_a.translation)), 1e-12)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    result: np.ndarray = cross @ b_from_a.rotation.matrix()
    return result
