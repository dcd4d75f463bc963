"""What adjusting given poses did to them, and whether it is believed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nerfkit.poses import check
from nerfkit.poses.anchoring import turns
from nerfkit.poses.placing import extent, poses

Model = Any  # pycolmap.Reconstruction

FEWEST_PHOTOS = 3
_FOCAL = 0.2  # by how much of itself a focal length may change
BETTER = 0.95  # times the median error of the matches: what adjusted poses must win, or else
_WON = 0.01  # share of the matches that agree
_ASTRAY = 0.3  # of the extent: cameras that moved further than that have nothing left of where they were given


@dataclass(frozen=True)
class Refinement:
    """What adjusting did. Positions are in the units of the given frame; ``kept`` names the photos that stay as given,
    ``refused`` says why all do. Of a refinement that was refused, the figures are what it would have been."""

    refused: str | None
    adjusted: int  # photos
    kept: list[str] = field(default_factory=list)
    relocated: list[str] = field(default_factory=list)  # photos that were given far from where they are
    position_median: float = 0.0
    position_max: float = 0.0
    position_percent_median: float = 0.0  # of the extent: the diagonal of the given cameras' bounding box
    rotation_deg_median: float = 0.0
    rotation_deg_max: float = 0.0
    focal_percent_max: float = 0.0  # by how much focal lengths changed at most
    rounds: int = 0
    match_error_px: tuple[float, float] = (0.0, 0.0)  # median over all verified matches: before, after
    agreement: tuple[float, float] = (0.0, 0.0)
    mean_reprojection_error_px: tuple[float | None, float | None] = (None, None)  # of the points found
    points: tuple[int, int] = (0, 0)


def compared(
    before: Model, after: Model, fits: tuple[check.Fit, check.Fit], kept: Iterable[int], lost: Iterable[int],
    rounds: int,
) -> Refinement:  # fmt: skip
    """What adjusting made of ``before``; ``fits``: of both models' poses."""
    given, found = poses(before), poses(after)
    put_back = set(kept)
    numbers = [number for number in given if number not in put_back]
    names = sorted(after.image(number).name for number in put_back)
    old, new = (np.array([known[number] for number in numbers]).reshape(-1, 4, 4) for known in (given, found))
    moved = np.linalg.norm(old[:, :3, 3] - new[:, :3, 3], axis=1)
    turned = turns(old, new)
    size = max(extent(given), 1e-12)
    focals = [
        abs(after.cameras[number].mean_focal_length() / camera.mean_focal_length() - 1)
        for number, camera in before.cameras.items()
    ]
    both = (before, after)
    return Refinement(
        refused=None,
        adjusted=len(numbers),
        kept=names,
        relocated=sorted(after.image(number).name for number in lost),
        position_median=check.median(moved),
        position_max=float(moved.max(initial=0)),
        position_percent_median=100 * check.median(moved) / size,
        rotation_deg_median=check.median(turned),
        rotation_deg_max=float(turned.max(initial=0)),
        focal_percent_max=100 * max(focals),
        rounds=rounds,
        match_error_px=tuple(fit.error for fit in fits),  # type: ignore[arg-type]
        agreement=tuple(fit.pairs.share for fit in fits),  # type: ignore[arg-type]
        mean_reprojection_error_px=tuple(reprojection_error(model) for model in both),  # type: ignore[arg-type]
        points=tuple(model.num_points3D() for model in both),  # type: ignore[arg-type]
    )


def refused(result: Refinement, reversed_share: float) -> str | None:
    """Why a result is not believed."""
    (error, error_after), (share, share_after) = result.match_error_px, result.agreement
    if result.adjusted < FEWEST_PHOTOS:
        return f"only {result.adjusted} photos could be adjusted"
    if share_after < share - _WON or error_after > error / BETTER:
        return (
            f"the matches would fit less well: {100 * share_after:.0f} % of them in place of {100 * share:.0f} %, "
            f"{error_after:.2f} px off in place of {error:.2f} px"
        )
    if error_after > BETTER * error and share_after < share + _WON:
        return f"they fit the matches as well as they can, {error:.2f} px off"
    if reversed_share > check.REVERSED:
        return f"{100 * reversed_share:.0f} % of the matches would meet behind the cameras"
    if result.position_percent_median > 100 * _ASTRAY:
        return f"cameras would move by {result.position_percent_median:.0f} % of their extent"
    if result.focal_percent_max > 100 * _FOCAL:
        return f"a focal length would change by {result.focal_percent_max:.0f} %"
    return None


def reprojection_error(model: Model) -> float | None:
    """The mean over the observations of a model, pixels; None without points."""
    return float(model.compute_mean_reprojection_error()) if model.num_points3D() else None
