"""Points for cameras as they stand, from the verified matches of their photos, by pycolmap."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np

from nerfkit.poses import repeatable

Model = Any  # pycolmap.Reconstruction

NARROW = 4.0  # pixels: COLMAP's own
_ANGLE, _ANGLE_AGAIN = 2.0, 5.0  # degrees, COLMAP's own: between the rays of a point and its features, and later on


def triangulated(model: Model, database: str, scratch: str, seed: int, allowed: float = NARROW) -> Model:
    """The cameras of ``model`` with points, without colours, whose features are within ``allowed`` pixels of them.

    Where poses are noisy, COLMAP's own few pixels drop most matches (seven of eight at 2 degrees, fox); with more
    allowed the points are as imprecise as the poses, and there.

    Args:
        database: features and verified matches, with the numbers of ``model``.
        scratch: a folder for what pycolmap writes; it is made. Photos in it would be read for colours, each time.
    """
    import pycolmap

    focal = float(np.median([camera.mean_focal_length() for camera in model.cameras.values()]))
    angle = float(np.degrees(allowed / focal))
    options = repeatable.pipeline(seed, model.num_images())
    options.mapper.filter_max_reproj_error = allowed
    options.triangulation.create_max_angle_error = max(_ANGLE, angle)
    options.triangulation.continue_max_angle_error = max(_ANGLE, angle)
    options.triangulation.re_max_angle_error = max(_ANGLE_AGAIN, angle)
    options.triangulation.merge_max_reproj_error = options.triangulation.complete_max_reproj_error = allowed
    Path(scratch).mkdir(parents=True, exist_ok=True)
    return pycolmap.triangulate_points(copy.deepcopy(model), database, scratch, scratch, options=options)
