"""Aligns upright poses with the places that photos' GPS tells: metres, +X east, +Y north."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerfkit.data.upright import some_pairs
from nerfkit.poses.frame import Similarity

Array = NDArray[np.float64]
Place = tuple[float, float, float | None]  # latitude and longitude in degrees, altitude in metres where it is known

FEWEST = 3
_MOST_PAIRS = 2000
_FINEST = 0.05  # metres: no GPS is better
_CLEAR = 3.0  # times that the places' spread must exceed their error


@dataclass(frozen=True)
class GpsFit:
    metres_from_upright: Similarity  # into metres east, north, up of ``reference``
    reference: tuple[float, float, float]  # latitude, longitude, altitude
    residual: float  # RMS, metres, horizontal
    scale_error: float  # relative, one standard deviation
    used: int  # photos that agree


def places_in_metres(places: Sequence[Place]) -> tuple[Array, tuple[float, float, float]]:
    """East, north, up [N, 3] in metres of the median place, and that place; the altitude is NaN where it is unknown."""
    import pycolmap

    known = [altitude for *_, altitude in places if altitude is not None]
    middle = float(np.median(known)) if known else 0.0
    table = np.array([(lat, lon, middle if alt is None else alt) for lat, lon, alt in places])
    reference = tuple(float(value) for value in np.median(table, axis=0))
    enu = pycolmap.GPSTransform().ellipsoid_to_enu(table, *reference)
    enu[[alt is None for *_, alt in places], 2] = np.nan
    return enu, (reference[0], reference[1], reference[2])


def fit(positions: Array, places: Sequence[Place]) -> GpsFit | None:
    """The similarity from upright camera positions [N, 3] (+Z up, any scale) to metres east, north, up.

    Tilts stay: the cameras and the ground know up better than GPS, whose altitude is its worst part. Heading, scale
    and place are those with the least median error over all pairs of photos, refined on the photos that agree. None
    where fewer than three photos or three in five agree, or their spread is not three times their error.
    """
    if len(places) < FEWEST:
        return None
    enu, reference = places_in_metres(places)
    ours, theirs = positions[:, 0] + 1j * positions[:, 1], enu[:, 0] + 1j * enu[:, 1]  # the plane as complex numbers
    turn, shift = _least_median(ours, theirs)
    if turn == 0:
        return None
    used = np.ones(len(ours), bool)
    for _ in range(5):
        error = np.abs(turn * ours + shift - theirs)
        used = error < max(3 * 1.4826 * float(np.median(error)), _FINEST)
        if used.sum() < FEWEST:
            return None
        mean_ours, mean_theirs = ours[used].mean(), theirs[used].mean()
        around = ours[used] - mean_ours
        turn = (around.conj() @ (theirs[used] - mean_theirs)) / (np.abs(around) ** 2).sum()
        shift = mean_theirs - turn * mean_ours
    free = 2 * int(used.sum()) - 4
    residual = float(np.sqrt((np.abs(turn * ours[used] + shift - theirs[used]) ** 2).sum() / free))
    spread = float(np.sqrt((np.abs(theirs[used] - theirs[used].mean()) ** 2).mean()))
    if used.mean() < 0.6 or spread < _CLEAR * max(residual, _FINEST):
        return None
    doubt = residual / spread / float(np.sqrt(2 * used.sum()))
    scale = float(np.abs(turn))
    rotation = np.array([[turn.real, -turn.imag, 0], [turn.imag, turn.real, 0], [0, 0, scale]]) / scale
    heights = enu[:, 2] - scale * positions[:, 2]
    height = float(np.nanmedian(heights)) if np.isfinite(heights).any() else 0.0
    similarity = Similarity(scale, rotation, np.array([shift.real, shift.imag, height]))
    return GpsFit(similarity, reference, residual, doubt, int(used.sum()))


def up_from_gps(positions: Array, places: Sequence[Place]) -> Array | None:
    """Up [3] in the frame of camera positions [N, 3], from GPS alone; None where its places don't tell.

    For cameras that don't: a survey from above, all photos turned the same way. Needs altitudes, and places that
    spread over an area.
    """
    import pycolmap

    known = np.array([alt is not None for *_, alt in places])
    if known.sum() < 4:
        return None
    enu, _ = places_in_metres([place for place, has in zip(places, known) if has])
    spread = np.linalg.svd(enu - enu.mean(0), compute_uv=False) / np.sqrt(len(enu))
    options = pycolmap.RANSACOptions()
    options.max_error = max(0.5, 0.25 * float(spread[1]))
    options.random_seed = 0
    found = pycolmap.estimate_sim3d_robust(positions[known], enu, options)
    if found is None:
        return None
    metres_from_model = found["tgt_from_src"]
    error = np.linalg.norm((metres_from_model * positions[known]) - enu, axis=1)
    if spread[1] < _CLEAR * float(np.quantile(error, 0.6)):
        return None
    return np.asarray(metres_from_model.rotation.matrix().T[:, 2])


def geodetic(metres: Array, reference: tuple[float, float, float]) -> tuple[float, float, float]:
    """Latitude, longitude, altitude of a point [3] in metres east, north, up of ``reference``."""
    import pycolmap

    lat, lon, alt = pycolmap.GPSTransform().enu_to_ellipsoid(metres[None], *reference)[0]
    return float(lat), float(lon), float(alt)


def _least_median(ours: NDArray[np.complex128], theirs: NDArray[np.complex128]) -> tuple[complex, complex]:
    """``turn * ours + shift``, through two of the places, with the least median distance to theirs."""
    best, least = (0j, 0j), np.inf
    for one, two in zip(*some_pairs(len(ours), _MOST_PAIRS)):
        apart = ours[two] - ours[one]
        if abs(apart) == 0 or theirs[two] == theirs[one]:
            continue
        turn = (theirs[two] - theirs[one]) / apart
        shift = theirs[one] - turn * ours[one]
        error = float(np.median(np.abs(turn * ours + shift - theirs)))
        if error < least:
            best, least = (complex(turn), complex(shift)), error
    return best
