"""``nerfkit poses``: camera poses and sparse points of a folder of photos or a video, or from another program."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from nerfkit.cli.refuse import refuse
from nerfkit.poses.options import PoseOptions

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.poses.report import PoseReport

_OF_IMPORT = ("images", "triangulate", "fix_convention", "refine")


@dataclass(frozen=True, kw_only=True)
class Options(PoseOptions):
    photos: tyro.conf.Positional[Path | None] = None
    """Folder of photos, which may lie in subfolders (JPEG, HEIC, PNG, TIFF, WebP, AVIF, BMP) and
    videos, or one video."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder for the poses: a new one, or that of an earlier run, which is continued. By default PHOTOS_poses beside
    the photos' folder or the video."""
    source: Annotated[Path | None, tyro.conf.arg(name="import")] = None
    """Poses that are there already, in place of PHOTOS: a file or folder of COLMAP, nerfstudio, instant-ngp, Blender,
    LLFF, OpenMVG, OpenSfM, Bundler, Metashape, RealityCapture or Polycam. They are checked and written as if found
    here."""
    images: Path | None = None
    """With --import: folder of the photos, where they are not where the format says."""
    triangulate: bool = True
    """With --import: find points by matching the photos where the format has none."""
    fix_convention: bool = False
    """With --import: where the cameras don't see their points, read them by the convention that was probably meant."""
    refine: Literal["auto", "yes", "no"] = "auto"
    """With --import: adjust poses, and intrinsics that many photos share, to the matches between the photos, in the
    frame and scale of the source; auto: where it has no points and the matches contradict the poses, as those of a
    phone's tracking; yes: also where it has points, which are found anew."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.errors import NerfkitError

    if options.source is not None:
        return _import(options, options.source, console)
    if options.photos is None:
        raise NerfkitError("no photos given; name their folder, or poses to read with --import")
    refuse(options, _OF_IMPORT, "is for poses that are read with --import")
    place = Path(os.path.realpath(options.photos))  # which links in a circle don't stop
    out = options.out or place.with_name(f"{place.name if place.is_dir() else place.stem}_poses")
    settings = PoseOptions(**{field.name: getattr(options, field.name) for field in fields(PoseOptions)})
    report = find(options.photos, out, settings, console)
    console.say(
        f"[bold]{out}[/]: {report.registered} of {report.photos} photos registered, {report.points:,} points, "
        f"reprojection error {report.mean_reprojection_error_px:.2f} px, {report.seconds['total']:.0f} s"
    )
    console.say(", ".join(f"{name} {seconds:.0f} s" for name, seconds in report.seconds.items() if name != "total"))
    if report.unregistered:
        console.say(f"without a pose: {', '.join(report.unregistered)}")
    console.say(f"look at it: {out / 'poses.html'}")
    console.say(f"train on it: nerfkit train {out}")
    return {"out": str(out), **report.to_json()}


def find(photos: Path, out: Path, settings: PoseOptions, console: Console) -> PoseReport:
    """The poses of photos or a video; whoever interrupts that is told that nothing of it is lost."""
    from nerfkit import poses

    try:
        return poses.estimate(photos, out, settings, console.progress)
    except KeyboardInterrupt:
        console.warn("stopped; the same command goes on with the stage it was in")
        raise


def _import(options: Options, source: Path, console: Console) -> dict[str, Any]:
    from nerfkit import poses
    from nerfkit.errors import NerfkitError

    if options.photos is not None:
        raise NerfkitError(
            f"{options.photos}: --import needs no photos to find poses of; name their folder with --images"
        )
    finding = [field.name for field in fields(PoseOptions) if field.name != "seed"]
    refuse(options, finding, "is for poses that are found here, and --import reads those that are there")
    place = source.resolve()
    out = options.out or place.with_name(f"{place.stem}_poses")
    report = poses.import_poses(
        source, out, options.images, triangulate=options.triangulate, fix_convention=options.fix_convention,
        refine=options.refine, seed=options.seed, progress=console.progress,
    )  # fmt: skip
    error = report.mean_reprojection_error_px
    console.say(
        f"[bold]{out}[/]: poses of {report.registered} photos, {report.points:,} points"
        + (" (triangulated)" if report.triangulated else "")
        + ("" if error is None else f", reprojection error {error:.2f} px")
    )
    if report.refinement is not None:
        console.say(_adjusted(report.refinement))
    elif report.points and report.agreement is None and error is None:
        console.say(
            "its points say nothing of the photos, so the poses were not checked; --refine yes does, and adjusts them"
        )
    console.say(f"train on it: nerfkit train {out}")
    return {"out": str(out), **report.to_json()}


def _adjusted(refinement: Mapping[str, Any]) -> str:
    from nerfkit.poses.checks import some

    if refinement["refused"] is not None:
        return f"poses stay as they are: {refinement['refused']}"
    lost = refinement["relocated"]
    (error, error_after), (share, share_after) = refinement["match_error_px"], refinement["agreement"]
    return (
        f"poses of {refinement['adjusted']} photos adjusted, in the middle by {refinement['position_median']:.3g} "
        f"({refinement['position_percent_median']:.2g} % of their extent) and "
        f"{refinement['rotation_deg_median']:.2g} degrees: matches are {error_after:.2f} px off ({error:.2f} before), "
        f"{100 * share_after:.0f} % agree ({100 * share:.0f} % before)"
        + (f"; placed anew, far from where they were given: {some(lost)}" if lost else "")
    )
