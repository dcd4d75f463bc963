"""Poses that another program found, checked and written as ``nerfkit poses`` writes its own."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nerfkit.cache import Cache
from nerfkit.capture import masks
from nerfkit.capture.photos import Photo, UprightFolder
from nerfkit.data.raw import PHOTO_SUFFIXES, RawScene, RawView
from nerfkit.data.readers import read
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic, write_text
from nerfkit.lock import alone
from nerfkit.poses import model, output, stage
from nerfkit.poses.checks import problems, some
from nerfkit.poses.claim import claim
from nerfkit.poses.conventions import Verdict, judge, reread
from nerfkit.poses.triangulate import DISAGREEING, NOISY
from nerfkit.progress import ProgressSink, quiet

PHOTOS = "photos"  # copies, where photos can't be used as they are
UNREADABLE_BY_COLMAP = (".webp",)
GREY = 128  # the colour of points in formats without colours
FEW_POINTS = 10  # for each photo: with fewer, poses and photos hardly belong together

log = logging.getLogger("nerfkit")

Refine = Literal["auto", "yes", "no"]


@dataclass(frozen=True)
class ImportReport:
    """What ``poses.json`` holds of imported poses, beside what it holds of estimated ones."""

    source: str
    photos: int  # in the folders of the photos that have a pose
    registered: int
    unregistered: list[str]  # names of the photos without a pose
    points: int
    triangulated: bool  # the points are ours
    mean_reprojection_error_px: float | None  # None: the source has no observations
    agreement: float | None  # share of the verified matches that agree with the poses; None: not triangulated
    cameras: int  # different intrinsics
    convention: str | None  # other than the format's, by which the poses were read
    refinement: dict[str, Any] | None  # a poses.refine.Refinement; None: not tried
    problems: list[str]
    seconds: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def import_poses(
    source: Path, out: Path, images: Path | None = None, *, triangulate: bool = True, fix_convention: bool = False,
    refine: Refine = "auto", seed: int = 0, progress: ProgressSink = quiet,
) -> ImportReport:  # fmt: skip
    """Reads poses in any known format, checks them, and writes them into ``out`` as ``nerfkit poses`` does.

    ``out`` gets ``colmap/sparse/0``, ``transforms.json``, ``sparse_pc.ply`` and ``poses.json``; the photos stay where
    they are, but for those that EXIF turns and WebP, which are copied into ``out/photos``. The world frame is the
    source's.

    Args:
        source: the scene's folder or file.
        images: the photos' folder, where it is not where the format says.
        triangulate: find points by matching the photos where the source has none.
        fix_convention: read the poses by the convention that was probably meant, where they don't fit their points.
        refine: adjust poses to the matches of the photos, keeping the world frame and its scale: ``yes``, ``no``, or
            ``auto``, where the source has no points and the matches contradict the poses. Points are found anew then.
            A refinement that gains nothing is refused.

    Raises:
        NerfkitError: whatever is wrong with the files; cameras that don't see their points; ``out`` holds something
            else, or another command is at work in it; ``refine`` is ``yes`` and ``triangulate`` isn't.
    """
    start = time.perf_counter()
    if refine == "yes" and not triangulate:
        raise NerfkitError("--refine yes: poses are adjusted to the matches of the photos; leave --no-triangulate out")
    scene = read(source, images, observations=True)
    scene, convention = _convention(scene, judge(scene), fix_convention)
    found = problems(scene)
    claim(out, source)
    cache = Cache(out / ".cache")
    with alone(out), cache.workspace() as work:
        folder, names = _photos(scene.views, out, progress)
        made = model.reconstruction(scene, names)
        result: dict[str, Any] = {}
        if refine == "yes" or (triangulate and not len(scene.points)):
            job = _Triangulation(folder, names, work, cache, refine, seed, progress)
            found_points, result = job.run(made)
            if result["meant"]:
                words = f"{100 * result['agreement']:.0f} % of the matches between the photos agree with them"
                scene, convention = _convention(scene, Verdict(True, words, result["meant"]), fix_convention)
                names = dict(zip(names, scene.views, strict=True))
                made = model.reconstruction(scene, names)
                found_points, result = job.run(made)
            if _replaces(result, scene):
                made = found_points
                found = problems(replace(scene, points=scene.points[:0]))  # less those of the points that are gone
            found += _about(result, len(names), refine)
        elif not len(scene.points):
            found.append("there are no points; without --no-triangulate they are found by matching the photos")
        elif made.compute_num_observations() and (scene.point_colors == GREY).all():
            made.extract_colors_for_all_images(str(folder))
        report = _report(scene, made, result, convention, found, time.perf_counter() - start)
        _write(made, names, folder, out, report)
    for problem in found:
        log.warning("%s: %s", scene.source, problem)
    return report


def _report(
    scene: RawScene, made: Any, result: dict[str, Any], convention: str | None, found: list[str], seconds: float
) -> ImportReport:
    unregistered = _unregistered(scene.views)
    made.update_point_3d_errors()
    observed = made.compute_num_observations() > 0
    return ImportReport(
        source=str(scene.source),
        photos=len(scene.views) + len(unregistered),
        registered=len(scene.views),
        unregistered=unregistered,
        points=made.num_points3D(),
        triangulated=bool(result) and _replaces(result, scene),
        mean_reprojection_error_px=round(float(made.compute_mean_reprojection_error()), 4) if observed else None,
        agreement=round(result["agreement"], 4) if result else None,
        cameras=made.num_cameras(),
        convention=convention,
        refinement=result.get("refinement"),
        problems=found,
        seconds={"total": round(seconds, 2)},
    )


def _convention(scene: RawScene, verdict: Verdict, fix: bool) -> tuple[RawScene, str | None]:
    if not verdict.wrong:
        return scene, None
    if verdict.meant is None:
        raise NerfkitError(
            f"{scene.source}: cameras and points don't belong together ({verdict.words}), by no convention that is "
            "known; export both again from one program"
        )
    if not fix:
        raise NerfkitError(
            f"{scene.source}: the cameras don't see what they should ({verdict.words}); the file was probably written "
            f"with {verdict.meant}; --fix-convention reads it so"
        )
    log.warning("%s: read as written with %s", scene.source, verdict.meant)
    return reread(scene, verdict.meant), verdict.meant


def _photos(views: list[RawView], out: Path, progress: ProgressSink) -> tuple[Path, dict[str, RawView]]:
    """The folder of the photos and their names: their own, or ``out/photos`` where some must be turned or converted."""
    folder, names = model.named(views)
    if not any(model.turned(view) or view.path.suffix.lower() in UNREADABLE_BY_COLMAP for view in views):
        return folder, names
    names = {
        name + ".png" if view.path.suffix.lower() in UNREADABLE_BY_COLMAP else name: view
        for name, view in names.items()
    }
    with atomic(out / PHOTOS) as partial:
        for done, (name, view) in enumerate(names.items(), 1):
            model.place(view, partial / name)
            progress("upright photos", done, len(names))
    return out / PHOTOS, names


@dataclass(frozen=True)
class _Triangulation:
    """Finds points for cameras by matching the photos, once, and adjusts these where that is asked for."""

    folder: Path
    names: dict[str, RawView]
    work: Path
    cache: Cache
    refine: Refine
    seed: int
    progress: ProgressSink

    def run(self, made: Any) -> tuple[Any, dict[str, Any]]:
        """The model with points, and what the stage tells about them."""
        import pycolmap

        posed, target = self.work / "posed", self.work / "triangulated"
        posed.mkdir(exist_ok=True)
        made.write_binary(str(posed))
        masks = self._masks()
        result, _ = stage.run("triangulate", {
            "model": str(posed.resolve()), "folder": str(self.folder.resolve()),
            "database": str((self.work / "triangulate.db").resolve()), "output": str(target.resolve()),
            "seed": self.seed, "refine": self.refine, "masks": masks and str(masks.resolve()),
        }, self.cache.log("triangulate"), self.progress)  # fmt: skip
        return pycolmap.Reconstruction(str(target)), result

    def _masks(self) -> Path | None:
        """A folder of masks for COLMAP, in which what moves, or is transparent, is black; None without any."""
        photos = {
            name: Photo(
                self.folder / name, view.camera.width, view.camera.height, 1, (), None, "", alpha=view.has_alpha,
                mask=view.mask_path,
            )
            for name, view in self.names.items()
        }  # fmt: skip
        upright = UprightFolder(self.folder, photos)
        return masks.place(upright, self.work / "masks_of_features", self.work / "masks").for_features


def _replaces(result: dict[str, Any], scene: RawScene) -> bool:
    """Whether the points that were found take the place of the source's, which are those of the poses as given."""
    refinement = result["refinement"]
    return not len(scene.points) or (refinement is not None and refinement["refused"] is None)


def _about(result: dict[str, Any], photos: int, refine: Refine) -> list[str]:
    """What few points or matches that contradict the poses say about these."""
    refinement = result["refinement"]
    found = []
    if refinement and refinement["refused"] and result["agreement"] < (NOISY if refine == "yes" else DISAGREEING):
        found.append(f"the poses stay as they are: {refinement['refused']}")
    if refinement and not refinement["refused"] and refinement["kept"]:
        found.append(f"few matches, or contradicting ones: poses stay as they are in {some(refinement['kept'])}")
    if result["matches"] and result["agreement"] < DISAGREEING:
        return [
            *found,
            f"only {100 * result['agreement']:.0f} % of the matches between the photos agree with the poses: these are "
            "wrong or belong to other photos" + (", or are noisy; --refine yes adjusts them" if refine == "no" else ""),
        ]
    if result["matches"] and result["agreement"] < NOISY and refine == "no":
        found.append(
            f"{100 * result['agreement']:.0f} % of the matches between the photos agree with the poses, right ones "
            "have 90 and more: these are noisy; --refine yes adjusts them"
        )
    if result["points"] < FEW_POINTS * photos:
        found.append(
            f"only {result['points']} points were found: the photos share little texture, or the poses are wrong"
        )
    return found


def _unregistered(views: list[RawView]) -> list[str]:
    """Names of the photos that lie beside those with poses, and have none."""
    known = {view.path.resolve() for view in views} | {view.mask_path.resolve() for view in views if view.mask_path}
    folders = sorted({view.path.resolve().parent for view in views})
    beside = (file for folder in folders for file in sorted(folder.iterdir()))
    return [
        file.name for file in beside
        if file.suffix.lower() in PHOTO_SUFFIXES and not file.name.startswith(".") and file not in known
    ]  # fmt: skip


def _write(made: Any, names: dict[str, RawView], folder: Path, out: Path, report: ImportReport) -> None:
    with atomic(out / "colmap") as partial:
        (partial / "sparse" / "0").mkdir(parents=True)
        made.write_binary(str(partial / "sparse" / "0"))
    output.write_points(out / output.POINTS_FILE, made)
    write_text(out / "poses.json", json.dumps(report.to_json(), indent=1) + "\n")
    data = output.transforms(made, folder, out)
    for frame in data["frames"]:
        name = Path(os.path.relpath(out / frame["file_path"], folder)).as_posix()
        mask = names[name].mask_path
        if mask is not None:
            frame["mask_path"] = Path(os.path.relpath(mask.resolve(), out.resolve())).as_posix()
    write_text(out / "transforms.json", json.dumps(data, indent=1) + "\n")  # last: now it is a scene
