"""Equirectangular 360-degree panoramas become perspective views: a rig of pinhole cameras in one place."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nerfkit.capture import pixels
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.machine import cores
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from nerfkit.capture.photo import Photo

MODEL = "EQUIRECTANGULAR"
_ASPECT_TOLERANCE = 0.01
# Longitude and latitude in degrees: around the horizon with a third of overlap, and straight up. Each is 90 degrees
# wide, and a little lift closes the gaps below the upper one. What lies more than 40 degrees down isn't seen: the
# tripod, or the photographer's hand.
_LOOKS = (*((longitude, 5) for longitude in range(0, 360, 60)), (0, 90))
_QUALITY = 95

log = logging.getLogger("nerfkit")

Rotation = NDArray[np.float64]  # [3, 3]


@dataclass(frozen=True)
class View:
    """One camera of the rig: square, 90 degrees wide."""

    prefix: str  # of its photos' names; what follows is the panorama's name
    rig_from_cam: tuple[tuple[float, float, float], ...]  # rotation [3, 3]; rig: the panorama's axes
    size: int  # pixels of a side

    @property
    def intrinsics(self) -> list[float]:
        """fx fy cx cy in pixels."""
        return [self.size / 2] * 4


def are_panoramas(photos: Sequence[Photo], camera_model: str) -> bool:
    """Whether ``photos`` are to be split: by the camera model that was asked for, or by their GPano metadata.

    Raises:
        NerfkitError: panoramas among other photos; photos that aren't twice as wide as high.
    """
    wide = [abs(photo.width / photo.height - 2) < 2 * _ASPECT_TOLERANCE for photo in photos]
    if camera_model == MODEL:
        if not all(wide):
            odd = photos[wide.index(False)]
            raise NerfkitError(
                f"{odd.path}: is {odd.width}x{odd.height}, no panorama of 360 x 180 degrees, which is twice as wide as "
                f"high; use another --camera-model than {MODEL}"
            )
        return True
    with pixels.large_pictures():
        tagged = [is_wide and _tagged(photo.path) for photo, is_wide in zip(photos, wide)]
    if any(tagged) and not all(tagged):
        raise NerfkitError(
            f"{photos[tagged.index(True)].path}: is a 360-degree panorama, {photos[tagged.index(False)].path.name} is "
            "none; put panoramas and other photos into separate folders"
        )
    if all(wide) and not any(tagged):
        log.warning(
            "%s: twice as wide as high; if these are 360-degree panoramas, choose --camera-model %s",
            photos[0].path.parent, MODEL,
        )  # fmt: skip
    return all(tagged)


def rig(width: int) -> tuple[View, ...]:
    """The views of panoramas of that width in pixels, as sharp in their middle as the panoramas are."""
    size = max(64, 2 * round(width / np.pi / 2))
    return tuple(
        View(f"view{number}_", tuple(map(tuple, _rotation(longitude, latitude).tolist())), size)
        for number, (longitude, latitude) in enumerate(_LOOKS)
    )


def split(photos: Sequence[Photo], folder: Path, progress: ProgressSink = quiet) -> tuple[View, ...]:
    """Writes the views of all panoramas into ``folder``, which appears whole or not at all.

    All panoramas must have one size.

    Raises:
        NerfkitError: panoramas of different sizes; no space left.
    """
    sizes = sorted({(photo.width, photo.height) for photo in photos})
    if len(sizes) > 1:
        words = ", ".join(f"{width}x{height}" for width, height in sizes[:4])
        raise NerfkitError(
            f"{photos[0].path.parent}: panoramas of different sizes ({words}); keep those of one camera, or resize them"
        )
    (width, height), views = sizes[0], rig(sizes[0][0])
    tables = [maps(view, width, height) for view in views]

    def write(photo: Photo, name: str) -> None:
        picture = _decode(photo)
        for view, table in zip(views, tables):
            _save(_look(picture, *table), partial / f"{view.prefix}{name}.jpg")

    with atomic(folder) as partial:
        partial.mkdir(parents=True)
        with pixels.large_pictures(), ThreadPoolExecutor(min(4, cores())) as pool:
            for done, _ in enumerate(pool.map(write, photos, flat(photos)), 1):
                progress("views of panoramas", done, len(photos))
    return views


def flat(photos: Sequence[Photo]) -> list[str]:
    """What the views of each photo are called behind their prefix, which must be all that tells one view from another:
    the photo's path, with its suffix where another photo has that name otherwise."""
    paths = [PurePosixPath(photo.name) for photo in photos]
    shorts = [path.with_suffix("").as_posix().replace("/", "__") for path in paths]
    times, taken = Counter(short.casefold() for short in shorts), set[str]()
    names = []
    for path, short in zip(paths, shorts):
        name = short if times[short.casefold()] == 1 else path.as_posix().replace("/", "__")
        number = 1
        while (unique := name if number == 1 else f"{name}-{number}").casefold() in taken:
            number += 1
        taken.add(unique.casefold())
        names.append(unique)
    return names


def maps(view: View, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """For each pixel of a view, where it lies in the panorama: OpenCV's two remap tables [S, S].

    Pixel centres at +0.5 on both sides; the panorama's middle looks along +z, its right half along +x, and y is down,
    as :mod:`nerfkit.cameras` has it. OpenCV counts centres from 0: half a pixel is taken off.
    """
    across = (np.arange(view.size) + 0.5) / (view.size / 2) - 1
    x, y = np.meshgrid(across, across)
    ray = np.stack([x, y, np.ones_like(x)], -1) @ np.array(view.rig_from_cam).T  # [S, S, 3]
    longitude = np.arctan2(ray[..., 0], ray[..., 2])
    latitude = np.arctan2(ray[..., 1], np.hypot(ray[..., 0], ray[..., 2]))
    u = (longitude / (2 * np.pi) + 0.5) * width - 0.5
    v = (latitude / np.pi + 0.5) * height - 0.5
    return u.astype(np.float32), v.astype(np.float32)


def _look(
    picture: NDArray[np.uint8], u: NDArray[np.float32], v: NDArray[np.float32], margin: int = 2
) -> NDArray[np.uint8]:
    import cv2

    # The left side goes on at the right one.
    around = np.concatenate([picture[:, -margin:], picture, picture[:, :margin]], 1)
    return np.asarray(cv2.remap(around, u + margin, v, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _rotation(longitude: float, latitude: float) -> Rotation:
    """``rig_from_cam`` of a camera that looks there, without roll."""
    a, b = np.radians([longitude, latitude])
    turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    lift = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return turn @ lift


def _tagged(path: Path) -> bool:
    """Whether the metadata (Google's Photo Sphere XMP) says equirectangular."""
    with pixels.open_picture(path.read_bytes()) as image:
        xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    text = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    return b"ProjectionType" in text and b"equirectangular" in text


def _decode(photo: Photo) -> NDArray[np.uint8]:
    from PIL import ImageOps

    with pixels.open_picture(photo.path.read_bytes()) as image:
        image.load()
        return np.asarray(pixels.to_srgb(ImageOps.exif_transpose(image)).convert("RGB"))


def _save(picture: NDArray[np.uint8], target: Path) -> None:
    from PIL import Image

    Image.fromarray(picture).save(target, quality=_QUALITY, subsampling=0)
