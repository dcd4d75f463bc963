"""``nerfkit poses``: camera poses and sparse points from a folder of photos."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nerfkit.poses.options import PoseOptions

if TYPE_CHECKING:
    from nerfkit.cli.console import Console


@dataclass(frozen=True, kw_only=True)
class Options(PoseOptions):
    photos: tyro.conf.Positional[Path]
    """Folder of photos."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder for the poses: a new one, or that of an earlier run, which is continued. By default PHOTOS_poses beside
    the photos' folder."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit import poses

    place = options.photos.resolve()
    out = options.out or place.with_name(f"{place.name}_poses")
    settings = PoseOptions(**{field.name: getattr(options, field.name) for field in fields(PoseOptions)})
    try:
        report = poses.estimate(options.photos, out, settings, console.progress)
    except KeyboardInterrupt:
        console.warn("stopped; the same command goes on with the stage it was in")
        raise
    console.say(
        f"[bold]{out}[/]: {report.registered} of {report.photos} photos registered, {report.points:,} points, "
        f"reprojection error {report.mean_reprojection_error_px:.2f} px, {report.seconds['total']:.0f} s"
    )
    if report.unregistered:
        console.say(f"without a pose: {', '.join(report.unregistered)}")
    console.say(f"look at it: {out / 'poses.html'}")
    console.say(f"train on it: nerfkit train {out}")
    return {"out": str(out), **report.to_json()}
