"""What lets COLMAP do the same twice: photos numbered before its threads see them, and models made by one thread.

Its own numbers are in the order in which threads are done with photos, and which photo of a pair is the first one, and
all that follows, depends on them. Of models' threads two things depend: those of bundle adjustment add up residuals in
another order in every run, and of those that look for the first pair of photos the quickest one wins. All else
(features, matches, RANSAC with a seed, registration, triangulation) repeats on any number of threads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

Model = Any  # pycolmap.Reconstruction

# Photos up to which one thread makes a model. Of larger ones adjustments are half of the work, which many cores share.
ONE_THREAD = 150


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


def threads(photos: int) -> int:
    """How many threads make a model of so many photos, as COLMAP's options have it: -1 is one for each core."""
    return 1 if photos <= ONE_THREAD else -1


def pipeline(seed: int, photos: int) -> Any:
    """``pycolmap.IncrementalPipelineOptions``: COLMAP's own but for the seed and the threads."""
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions()
    options.random_seed = options.triangulation.random_seed = options.mapper.random_seed = seed
    options.num_threads = options.mapper.num_threads = threads(photos)
    return options


def adjustment(photos: int) -> Any:
    """``pycolmap.BundleAdjustmentOptions``: COLMAP's own but for the threads and the words."""
    import pycolmap

    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.ceres.solver_options.num_threads = threads(photos)
    return options
