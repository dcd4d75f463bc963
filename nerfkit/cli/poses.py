"""``nerfkit poses``: camera poses and sparse points from a folder of photos."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nerfkit.poses.options import PoseOptions

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.poses.report import PoseReport


@dataclass(kw_only=True)
class Options(PoseOptions):
    photos: tyro.conf.Positional[Path]
    """Folder of photos (jpg, png, tif, webp)."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Folder for the poses (default: runs/SCENE/poses). One that is there already is taken up where it stands."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit import poses

    out = options.out or default_out(options.photos)
    settings = PoseOptions(**{item.name: getattr(options, item.name) for item in fields(PoseOptions)})
    try:
        report = poses.estimate(options.photos, out, settings, console.progress)
    except KeyboardInterrupt:
        console.warn(f"stopped; the same command goes on from here, with what is in {out}")
        raise
    for line in summary(out, report):
        console.say(line)
    return {"out": str(out), **report.to_json()}


def default_out(photos: Path) -> Path:
    """``runs/SCENE/poses``, where SCENE is the photo folder's name, or its parent's for a plain ``images``."""
    place = photos.resolve()
    if place.name in ("images", "photos", "input"):
        place = place.parent
    return Path("runs") / place.name / "poses"


def summary(out: Path, report: PoseReport) -> list[str]:
    """What a user wants to know, in rich markup."""
    from rich.markup import escape

    spent = f"{report.seconds['total']:.0f} s" if report.stages_run else "done before"
    lines = [
        f"[bold]{escape(str(out))}[/]: {report.registered} of {report.photos} photos registered, "
        f"{report.points:,} points, reprojection error {report.mean_reprojection_error_px:.2f} px ({spent})"
    ]
    if report.unregistered:
        lines.append(f"without a pose: {escape(', '.join(report.unregistered))}")
    lines.append("files: transforms.json, sparse_pc.ply, poses.json, colmap/sparse/0")
    return lines
