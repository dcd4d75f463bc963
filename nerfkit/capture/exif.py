"""What a photo's EXIF says: orientation, lens, focal length, place and time. Nothing of it is trusted blindly."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nerfkit.capture import sensors

if TYPE_CHECKING:
    from PIL.Image import Image

Gps = tuple[float, float, float | None]  # latitude and longitude in degrees (WGS84), altitude in metres

ORIENTATION = 274
_MAKE, _MODEL, _DATE_TIME, _EXIF_IFD, _GPS_IFD = 271, 272, 306, 34665, 34853
_DATE_TIME_ORIGINAL, _SUBSECONDS = 36867, 37521
_FOCAL_LENGTH, _FOCAL_LENGTH_35MM, _DIGITAL_ZOOM = 37386, 41989, 41988
_PIXEL_X, _PIXEL_Y, _PLANE_X_RESOLUTION, _PLANE_UNIT = 40962, 40963, 41486, 41488
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}

_FILM_DIAGONAL = math.hypot(36, 24)  # mm; 35 mm equivalents are by the diagonal (CIPA DCG-001)
_PLAUSIBLE = (0.15, 10.0)  # focal length over the longer side: beyond, COLMAP's mapper calls it bogus too
_AGREE = 0.1  # by how much two statements of the focal length may differ
_CROPPED = 0.02  # change of the aspect ratio that tells a crop


@dataclass(frozen=True)
class Facts:
    orientation: int = 1  # 1 to 8; 1 is upright
    lens: tuple[str, ...] = ("", "", "", "")  # maker, model, focal length, 35 mm equivalent, as they are written
    focal_px: float | None = None
    gps: Gps | None = None
    taken: datetime | None = None  # by the camera's clock, which knows no time zone


def read(image: Image, size: tuple[int, int]) -> Facts:
    """The facts of an opened image that has ``size`` in its file; broken EXIF counts as none."""
    try:
        exif = image.getexif()
        outer: Mapping[int, Any] = dict(exif)
    except Exception:  # Pillow's parser meets bytes of any kind, and fails in as many ways
        return Facts()
    inner, gps = _ifd(exif, _EXIF_IFD), _ifd(exif, _GPS_IFD)
    values = [outer.get(_MAKE), outer.get(_MODEL), inner.get(_FOCAL_LENGTH), inner.get(_FOCAL_LENGTH_35MM)]
    lens = tuple("" if value is None else str(value).strip("\0 ") for value in values)
    focal_px = _focal(inner, lens[0], lens[1], *size)
    return Facts(_orientation(outer.get(ORIENTATION)), lens, focal_px, _gps(gps), _taken(outer, inner))


def _ifd(exif: Any, tag: int) -> Mapping[int, Any]:
    try:
        return dict(exif.get_ifd(tag))
    except Exception:  # as above
        return {}


def _orientation(value: Any) -> int:
    number = _number(value)
    return int(number) if number in range(1, 9) else 1


def _focal(inner: Mapping[int, Any], maker: str, model: str, width: int, height: int) -> float | None:
    """The focal length in pixels; None where EXIF has none, or one that can't be right.

    The focal plane's resolution is more exact than the 35 mm equivalent, which is rounded to millimetres, but is more
    often wrong: it counts where both agree, or where there is no equivalent. Where neither can be used, the camera's
    sensor may be known.
    """
    film = _number(inner.get(_FOCAL_LENGTH_35MM))
    if _is_cropped(inner, width, height):
        return None
    longer = max(width, height)
    by_film = film * math.hypot(width, height) / _FILM_DIAGONAL
    by_plane = _focal_by_plane(inner, longer)
    film_is_plausible, plane_is_plausible = (
        _PLAUSIBLE[0] <= focal / longer <= _PLAUSIBLE[1] for focal in (by_film, by_plane)
    )
    if film_is_plausible:
        return by_plane if abs(by_plane / by_film - 1) < _AGREE else by_film
    if plane_is_plausible:
        return by_plane
    by_sensor = _focal_by_sensor(inner, maker, model, width, height)
    return by_sensor if _PLAUSIBLE[0] <= by_sensor / longer <= _PLAUSIBLE[1] else None


def _focal_by_plane(inner: Mapping[int, Any], longer: int) -> float:
    """Pixels; 0 where EXIF doesn't tell. The resolution is that of the picture as the camera wrote it."""
    focal, resolution = _number(inner.get(_FOCAL_LENGTH)), _number(inner.get(_PLANE_X_RESOLUTION))
    unit = _UNIT_MM.get(int(_number(inner.get(_PLANE_UNIT, 2))))
    if unit is None or _number(inner.get(_DIGITAL_ZOOM, 1)) not in (0.0, 1.0):
        return 0.0
    written = max(_number(inner.get(_PIXEL_X)), _number(inner.get(_PIXEL_Y))) or longer
    return focal * resolution / unit * longer / written


def _focal_by_sensor(inner: Mapping[int, Any], maker: str, model: str, width: int, height: int) -> float:
    """Pixels; 0 where nothing is known of the camera."""
    focal = _number(inner.get(_FOCAL_LENGTH))
    if focal <= 0 or _number(inner.get(_DIGITAL_ZOOM, 1)) not in (0.0, 1.0):
        return 0.0
    return focal * (sensors.crop_factor(maker, model) or 0.0) * math.hypot(width, height) / _FILM_DIAGONAL


def _is_cropped(inner: Mapping[int, Any], width: int, height: int) -> bool:
    x, y = _number(inner.get(_PIXEL_X)), _number(inner.get(_PIXEL_Y))
    if not (x > 0 and y > 0):
        return False
    return abs((max(x, y) / min(x, y)) / (max(width, height) / min(width, height)) - 1) > _CROPPED


def _gps(values: Mapping[int, Any]) -> Gps | None:
    latitude, longitude = _angle(values, 1, 2, "S"), _angle(values, 3, 4, "W")
    if latitude is None or longitude is None or abs(latitude) > 90 or abs(longitude) > 180:
        return None
    if latitude == longitude == 0:  # what devices write that know no place
        return None
    altitude = _number(values.get(6), math.nan)
    if values.get(5) in (1, b"\x01"):  # below sea level
        altitude = -altitude
    return latitude, longitude, altitude if abs(altitude) < 1e5 else None


def _angle(values: Mapping[int, Any], reference: int, value: int, negative: str) -> float | None:
    """Degrees from degrees, minutes and seconds."""
    parts = values.get(value)
    parts = parts if isinstance(parts, tuple) else (parts,)
    degrees = sum(_number(part, math.nan) / 60**power for power, part in enumerate(parts[:3]))
    if not math.isfinite(degrees):
        return None
    return -degrees if str(values.get(reference, "")).strip("\0 ").upper() == negative else degrees


def _taken(outer: Mapping[int, Any], inner: Mapping[int, Any]) -> datetime | None:
    for text in (inner.get(_DATE_TIME_ORIGINAL), outer.get(_DATE_TIME)):
        try:
            taken = datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
        except ValueError:
            continue
        digits = str(inner.get(_SUBSECONDS, "")).strip("\0 ")
        fraction = int(digits[:6].ljust(6, "0")) if digits.isascii() and digits.isdigit() else 0
        return taken.replace(microsecond=fraction)
    return None


def _number(value: Any, otherwise: float = 0.0) -> float:
    """A finite number, or ``otherwise``."""
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return otherwise
    return number if math.isfinite(number) else otherwise
