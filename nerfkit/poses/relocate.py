"""A photo whose given pose is far off, placed anew by what the points of the others show of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.poses import check
from nerfkit.poses.placing import set_pose

Model = Any  # pycolmap.Reconstruction
Array = NDArray[np.float64]

_MAX_ERROR = 12.0  # pixels, as COLMAP's mapper has it when it adds a photo
_FEWEST = 30  # inliers
_SHARE = 0.25  # of the matches with points


def relocate(model: Model, database: str, seed: int, apart: Sequence[int] = ()) -> list[int]:
    """Moves the photos most of whose matches contradict their poses to where these see the points of the others; gives
    the numbers of those that were moved. Those of ``apart`` are left alone."""
    import pycolmap

    stray = [number for number in check.strays(check.pair_agreement(model, database)) if number not in apart]
    with pycolmap.Database.open(database) as filled:
        pairs, geometries = filled.read_two_view_geometries()
    matches = [
        (pycolmap.pair_id_to_image_pair(pair), geometry.inlier_matches) for pair, geometry in zip(pairs, geometries)
    ]
    moved = []
    for number in stray:
        pixels, points = _seen(model, matches, number, stray)
        options = pycolmap.AbsolutePoseEstimationOptions()
        options.ransac.max_error, options.ransac.random_seed = _MAX_ERROR, seed
        found = len(pixels) >= _FEWEST and pycolmap.estimate_and_refine_absolute_pose(
            pixels, points, model.image(number).camera, options
        )
        if found and found["num_inliers"] >= max(_FEWEST, _SHARE * len(pixels)):
            pose = np.eye(4)
            pose[:3] = found["cam_from_world"].inverse().matrix()
            set_pose(model, number, pose)
            moved.append(number)
    return moved


def _seen(
    model: Model, matches: Sequence[tuple[tuple[int, int], Any]], number: int, stray: Sequence[int]
) -> tuple[Array, Array]:
    """Features [M, 2] of a photo, and the points [M, 3] that others have where they match; of ``stray`` ones none.

    ``matches`` [K, 2] are features of two images each.
    """
    found: dict[tuple[int, int], None] = {}
    for ends, features in matches:
        if number not in ends:
            continue
        here = ends.index(number)
        other = ends[1 - here]
        if other in stray or other not in model.images:
            continue
        spots = model.image(other).points2D
        for row in features:
            spot = spots[int(row[1 - here])]
            if spot.has_point3D():
                found[int(row[here]), int(spot.point3D_id)] = None
    own = model.image(number).points2D
    pixels = np.array([own[feature].xy for feature, _ in found]).reshape(-1, 2)
    return pixels, np.array([model.points3D[point].xyz for _, point in found]).reshape(-1, 3)
