"""What lets COLMAP do the same twice: photos numbered before its threads see them, and sums in one order.

Its own numbers are in the order in which threads are done with photos, and which photo of a pair is the first one, and
all that follows, depends on them. Several threads of bundle adjustment add up residuals in another order in every run.
All else (features, matches, RANSAC with a seed, registration, triangulation) repeats on any number of threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

Model = Any  # pycolmap.Reconstruction

# Residuals up to which bundle adjustment has one thread; COLMAP's own threshold is 50,000.
ONE_THREAD = 1_000_000


def enter(model: Model, database: str | Path) -> None:
    """Writes the cameras and images of a model, with their numbers, into a new database; those that are there keep
    their numbers when features are extracted. Poses and points have no place in it."""
    import pycolmap

    with pycolmap.Database.open(database) as filled:
        for number in sorted(model.cameras):
            filled.write_camera(model.cameras[number], use_camera_id=True)
        for number in sorted(model.rigs):
            filled.write_rig(model.rigs[number], use_rig_id=True)
        for number in sorted(model.frames):
            filled.write_frame(model.frames[number], use_frame_id=True)
        for number in sorted(model.images):
            filled.write_image(model.images[number], use_image_id=True)


def pipeline(seed: int) -> Any:
    """``pycolmap.IncrementalPipelineOptions``: COLMAP's own but for the seed and the threads."""
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.triangulation.random_seed = options.mapper.random_seed = seed
    options.ba_min_num_residuals_for_cpu_multi_threading = ONE_THREAD
    return options


def adjustment() -> Any:
    """``pycolmap.BundleAdjustmentOptions``: COLMAP's own but for the threads and the words."""
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.min_num_residuals_for_cpu_multi_threading = ONE_THREAD
    return options
