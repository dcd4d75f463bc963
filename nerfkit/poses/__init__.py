"""Camera poses from photos: features → matching → mapping → one model, by COLMAP.

Each stage runs in a process of its own (:mod:`nerfkit.poses.worker`), so that an interrupt ends it at once and
a crash in it is an error message; importing this package imports neither pycolmap nor torch.
"""

from __future__ import annotations

from pathlib import Path

from nerfkit.poses.options import PoseOptions
from nerfkit.poses.report import PoseReport
from nerfkit.progress import ProgressSink, quiet

__all__ = ["PoseOptions", "PoseReport", "estimate"]


def estimate(photos: Path, out: Path, options: PoseOptions | None = None, progress: ProgressSink = quiet) -> PoseReport:
    """Camera poses and sparse points of a folder of photos; see :func:`nerfkit.poses.pipeline.estimate`."""
    from nerfkit.poses import pipeline

    return pipeline.estimate(Path(photos), Path(out), options or PoseOptions(), progress)
