"""Camera poses from photos: features → matching → mapping → one model, by COLMAP.

Stages run in another process (:mod:`nerfkit.poses.worker`), so that an interrupt ends them at once and a crash in one
is an error message; importing this package imports neither pycolmap nor torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nerfkit.poses.options import PoseOptions
from nerfkit.poses.report import PoseReport
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from nerfkit.poses.importing import ImportReport, Refine

__all__ = ["PoseOptions", "PoseReport", "estimate", "import_poses"]


def estimate(photos: Path, out: Path, options: PoseOptions | None = None, progress: ProgressSink = quiet) -> PoseReport:
    """Camera poses and sparse points of a folder of photos; see :func:`nerfkit.poses.pipeline.estimate`."""
    from nerfkit.poses import pipeline

    return pipeline.estimate(Path(photos), Path(out), options or PoseOptions(), progress)


def import_poses(
    source: Path, out: Path, images: Path | None = None, *, triangulate: bool = True, fix_convention: bool = False,
    refine: Refine = "auto", seed: int = 0, progress: ProgressSink = quiet,
) -> ImportReport:  # fmt: skip
    """Poses that another program found; see :func:`nerfkit.poses.importing.import_poses`."""
    from nerfkit.poses import importing

    return importing.import_poses(
        Path(source), Path(out), images, triangulate=triangulate, fix_convention=fix_convention, refine=refine,
        seed=seed, progress=progress,
    )  # fmt: skip
