"""What may be wrong with imported cameras although their files are whole: each a sentence for the user."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from nerfkit.capture.pixels import large_pictures
from nerfkit.data.raw import RawScene, RawView
from nerfkit.poses.conventions import Sight, sights

WIDE, LONG = 0.25, 8.0  # focal lengths over the longer side: 127 degrees, 7 degrees
CENTRAL = 0.25  # how far from the middle a principal point may lie, over the side
EXIF_DIFFERS = 1.3  # factor between two focal lengths; 35 mm equivalents alone differ by a few percent
ERROR = 2e-3  # of the longer side: a reprojection error that adjusted cameras don't have
WORSE = 4.0  # times the median of all photos
_NAMED = 5


def problems(scene: RawScene) -> list[str]:
    """Sentences about doubtful intrinsics, views that see no points, and large reprojection errors."""
    return [*_intrinsics(scene.views), *_sight(sights(scene.views, scene.points))]


def _intrinsics(views: Sequence[RawView]) -> list[str]:
    found = []
    odd, off, differing = [], [], []
    for view in views:
        camera = view.camera
        fx, fy, cx, cy = camera.intrinsics[0].tolist()
        side = max(camera.width, camera.height)
        if camera.model != "fisheye" and not (WIDE < fx / side < LONG and 0.5 < fx / fy < 2):
            odd.append(view.path.name)
        if max(abs(cx / camera.width - 0.5), abs(cy / camera.height - 0.5)) > CENTRAL:
            off.append(view.path.name)
        exif = _exif_focal(view, side)
        if exif is not None and not 1 / EXIF_DIFFERS < fx / exif < EXIF_DIFFERS:
            differing.append(view.path.name)
    if odd:
        found.append(f"an unlikely focal length in {some(odd)}: is it in pixels of the photo's full size?")
    if off:
        found.append(f"the principal point lies far from the middle in {some(off)}: were the photos cropped or turned?")
    if differing:
        found.append(f"the focal length differs from EXIF's in {some(differing)}: are these the right photos?")
    return found


def _exif_focal(view: RawView, side: int) -> float | None:
    """Pixels, of EXIF's 35 mm equivalent; None without it."""
    from PIL import Image

    try:
        with large_pictures(), Image.open(view.path) as photo:
            if photo.format not in ("JPEG", "MPO", "TIFF", "WEBP"):
                return None  # to look for the tag in a PNG would decode all of it
            focal = float(photo.getexif().get_ifd(34665).get(41989) or 0)
    except (OSError, ValueError, TypeError, SyntaxError, ZeroDivisionError):
        return None
    return focal * side / 36 if focal > 0 else None


def _sight(found: Sequence[Sight]) -> list[str]:
    said = []
    blind = [sight.name for sight in found if sight.visible == 0]
    if blind:
        said.append(f"none of the points lies before and within {some(blind)}: these cameras look away")
    errors = {sight.name: sight.error for sight in found if sight.error is not None}
    if errors:
        side, middle = max(sight.side for sight in found), float(np.median(list(errors.values())))
        if middle > ERROR * side:
            said.append(
                f"the median reprojection error is {middle:.1f} px: cameras aren't precise; --refine yes adjusts them"
            )
        worse = [name for name, error in errors.items() if error > max(WORSE * middle, ERROR * side)]
        if worse and middle <= ERROR * side:
            said.append(f"the reprojection error is far above the others' in {some(worse)}: these poses may be wrong")
    return said


def some(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
