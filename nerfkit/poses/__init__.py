"""Cameras and sparse points from photos: features → matches → mapping → one model, and its report."""

from __future__ import annotations

from pathlib import Path

from nerfkit.poses.options import PoseOptions
from nerfkit.poses.report import PoseReport
from nerfkit.progress import ProgressSink, quiet

__all__ = ["PoseOptions", "PoseReport", "estimate"]


def estimate(
    photos: Path, out: Path, options: PoseOptions | None = None, progress: ProgressSink = quiet
) -> PoseReport:
    """Finds the cameras of a folder of photos and writes them, with the sparse points, to the folder ``out``.

    ``out`` gets ``transforms.json`` (nerfstudio's flavour, in COLMAP's world frame with OpenGL camera axes;
    photos named relative to ``out`` where both lie under one folder, else absolute), ``sparse_pc.ply``,
    ``colmap/sparse/0`` (COLMAP's binary model; its image names are relative to the photos' folder),
    ``poses.json`` (the report) and, only where EXIF turns a photo, ``photos/`` with upright ones.

    A second call with the same photos and options does only what is not done yet; so does a call after one
    that was killed.

    Raises:
        NerfkitError: unusable photos, an ``out`` that holds something else, photos that do not fit together.
    """
    from nerfkit.poses.pipeline import estimate as run

    return run(Path(photos), Path(out), options or PoseOptions(), progress)
