"""Features of photos that are larger than features need: shrunk by OpenCV, and then given to COLMAP.

COLMAP decodes and shrinks a photo of two megapixels in 0.07 CPU seconds, OpenCV in 0.01; to find its features takes
another 0.13.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nerfkit.threads import threads

Size = tuple[int, int]  # width and height

_BATCH = 100  # photos that lie there shrunk at a time: 65 MB at 1080 pixels
_JPEG = b"\xff\xd8"
_REDUCED = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}


def extract(
    database: str, folder: str, sizes: Mapping[str, Size], reader: Any, extraction: Any, masks: str | None = None
) -> None:
    """Adds features of photos to a database that has the photos and their cameras, as ``pycolmap.extract_features``
    does; of a photo that cannot be read there are none.

    Args:
        sizes: of the photos, by their names; those of one camera have one size.
        reader: ``pycolmap.ImageReaderOptions``; where there are masks, their place in it changes.
        extraction: ``pycolmap.FeatureExtractionOptions`` with the pixels of the longer side that are looked at.
        masks: folder with a mask ``NAME.png`` for each photo.
    """
    import pycolmap

    small = {size: shrunk_size(size, extraction.max_image_size) for size in set(sizes.values())}
    with tempfile.TemporaryDirectory(prefix="shrunk-", dir=Path(database).parent) as place:
        # Until all is done they have the name of a folder that wasn't there before, as none of the user's photos has.
        known = {f"{Path(place).name}-{number}.pgm": name for number, name in enumerate(sizes)}
        shorts = list(known)
        _rename(database, {name: short for short, name in known.items()})
        _resize(database, {short: small[sizes[name]] for short, name in known.items()})

        def place_one(short: str) -> None:
            name = known[short]
            mask = None if masks is None else Path(masks, f"{name}.png")
            _place(Path(folder, name), mask, Path(place, short), sizes[name], small[sizes[name]])

        for start in range(0, len(shorts), _BATCH):
            some = shorts[start : start + _BATCH]
            with threads() as pool:
                list(pool.map(place_one, some))
            if masks is not None:
                reader.mask_path = place
            pycolmap.extract_features(
                database, place, image_names=some, camera_mode=pycolmap.CameraMode.PER_IMAGE,
                reader_options=reader, extraction_options=extraction, device=pycolmap.Device.cpu,
            )  # fmt: skip
            for file in Path(place).iterdir():
                file.unlink()
        _resize(database, {short: sizes[name] for short, name in known.items()})
    _rename(database, known)


def shrunk_size(size: Size, longer_side: int) -> Size:
    """The size in pixels with so long a longer side."""
    width, height = (max(1, round(side * longer_side / max(size))) for side in size)
    return width, height


def shrink(data: bytes, size: Size, small: Size) -> NDArray[np.uint8] | None:
    """The brightness [h, w] of a picture of a known ``size`` in a file's bytes, in a smaller one; None where it can't
    be decoded."""
    flag = cv2.IMREAD_GRAYSCALE
    if data.startswith(_JPEG):  # whose decoder skips what half the size, a quarter or an eighth doesn't need
        room = max(size) // max(small)
        exact = (n for n in _REDUCED if n <= room and size[0] % n == 0 and size[1] % n == 0)
        flag = next((_REDUCED[factor] for factor in exact), flag)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flag | cv2.IMREAD_IGNORE_ORIENTATION)
    if decoded is None:
        return None
    return np.asarray(cv2.resize(decoded, small, interpolation=cv2.INTER_AREA), np.uint8)


def _place(photo: Path, mask: Path | None, target: Path, size: Size, small: Size) -> None:
    """Writes a photo and its mask, shrunk, in a format that takes no time to read."""
    picture = shrink(photo.read_bytes(), size, small)
    if picture is None:
        return
    cv2.imwrite(str(target), picture)
    if mask is not None:
        inside = cv2.imdecode(np.frombuffer(mask.read_bytes(), np.uint8), cv2.IMREAD_GRAYSCALE)
        if inside is not None:  # else COLMAP leaves the photo out, as it does where there is none
            cv2.imwrite(f"{target}.png", cv2.resize(inside, small, interpolation=cv2.INTER_NEAREST))


def _resize(database: str, sizes: Mapping[str, Size]) -> None:
    """Gives the cameras of images with these names other sizes, and with them their keypoints. Pixel centres are at
    +0.5, so that coordinates are multiplied."""
    import pycolmap

    with pycolmap.Database.open(database) as filled:
        images = [image for image in filled.read_all_images() if image.name in sizes]
        cameras = {number: filled.read_camera(number) for number in {image.camera_id for image in images}}
        for image in images:
            if not filled.exists_keypoints(image.image_id):
                continue
            size, camera = sizes[image.name], cameras[image.camera_id]
            along_x, along_y = size[0] / camera.width, size[1] / camera.height
            keypoints = filled.read_keypoints(image.image_id)  # [M, 6]: x, y, and the affine shape by rows
            keypoints *= np.array([along_x, along_y, along_x, along_x, along_y, along_y], np.float32)
            filled.update_keypoints(image.image_id, keypoints)
        for image in images:
            camera = cameras[image.camera_id]
            camera.width, camera.height = sizes[image.name]
        for camera in cameras.values():
            filled.update_camera(camera)


def _rename(database: str, names: Mapping[str, str]) -> None:
    import pycolmap

    with pycolmap.Database.open(database) as filled:
        for image in filled.read_all_images():
            if image.name in names:
                image.name = names[image.name]
                filled.update_image(image)
