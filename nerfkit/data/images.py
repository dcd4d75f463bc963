"""Photos as tensors: decoded at reduced scale, undistorted, averaged down, and kept within a memory cap."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.data.undistort import maps, pinhole
from nerfkit.errors import NerfkitError

Photo = tuple[Tensor, Tensor | None]  # [H, W, 3] uint8 RGB, [H, W] uint8 mask
UNASKED = 1 << 30  # bytes of photos: to decode these over and over costs more than to be short of memory
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


class PhotoCache:
    """The photos asked for first, up to ``capacity`` bytes. Safe to use from several threads.

    What is in stays in: whether photos are asked for in turn or at random, the share that fits is found again. Were the
    one that wasn't used for longest thrown out, a walk over all photos in turn would find none of them.
    """

    def __init__(self, capacity: int, available: Callable[[], int] | None = None) -> None:
        """Args: capacity: bytes; available: bytes of memory that are left now. Beyond ``UNASKED`` no photo is kept that
        would make the cache larger than that: of n runs that fill theirs at the same time each gets 1 / (n + 1), and
        what others took since the capacity was chosen stays theirs."""
        self.capacity = capacity
        self._available = available
        self.used = 0
        self._photos: dict[str, Photo] = {}
        self._lock = threading.Lock()

    def get(self, key: str, load: Callable[[], Photo]) -> Photo:
        with self._lock:
            if key in self._photos:
                return self._photos[key]
        photo = load()  # outside the lock: others decode meanwhile
        size = size_of(photo)
        with self._lock:
            if key not in self._photos and self._has_room(self.used + size):
                self._photos[key] = photo
                self.used += size
        return photo

    def _has_room(self, used: int) -> bool:
        if used > self.capacity:
            return False
        return used <= UNASKED or self._available is None or used <= self._available()

    def __contains__(self, key: str) -> bool:
        return key in self._photos

    def __len__(self) -> int:
        return len(self._photos)


def size_of(photo: Photo) -> int:
    return sum(part.numel() for part in photo if part is not None)


def load_photo(path: Path, source: Cameras, target: Cameras, mask_path: Path | None = None) -> Photo:
    """Decodes, undistorts and averages one photo (and its mask) down to the size of ``target``.

    Args:
        path: the photo file; its alpha channel, if it has one, becomes the mask.
        source: camera of the whole photo (C = 1), with its distortion.
        target: pinhole camera (C = 1) of the wanted size, made by :func:`nerfkit.data.undistort.pinhole`.
        mask_path: a separate mask; where both exist, a pixel must be inside both.

    Transparent pixels don't bleed into their neighbours: colors are averaged weighted by alpha, and are
    straight (not premultiplied) in the result.

    Raises:
        NerfkitError: the file is gone, truncated, or not a photo.
    """
    pixels = _decode(path, source, target)
    mask = None if mask_path is None else decode_mask(mask_path, pixels.shape[1], pixels.shape[0])
    at_decoded = _decoded_camera(source, pixels.shape[1], pixels.shape[0])
    if at_decoded.model != "pinhole":
        table = _maps(*_map_key(at_decoded))
        pixels = cv2.remap(pixels, *table, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        mask = None if mask is None else cv2.remap(mask, *table, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    rgb, alpha = _shrink(pixels, target.width, target.height)
    if mask is not None:
        mask = cv2.resize(mask, (target.width, target.height), interpolation=cv2.INTER_AREA)
        alpha = mask if alpha is None else np.minimum(alpha, mask)
    return torch.from_numpy(rgb), None if alpha is None else torch.from_numpy(alpha)


def _decode(path: Path, source: Cameras, target: Cameras) -> NDArray[np.uint8]:
    """[H, W, 3] BGR or [H, W, 4] BGRA, at least twice the target's size where the format can shrink as it decodes."""
    data = _read(path)
    if not data.startswith(b"\xff\xd8"):
        pixels = _imdecode(path, data, cv2.IMREAD_UNCHANGED)
        return _eight_bit(pixels)
    shrink = _shrink_at_decoding(source, target)
    flags = REDUCED.get(shrink, cv2.IMREAD_COLOR)
    pixels = _imdecode(path, data, flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if (pixels.shape[1] > pixels.shape[0]) != (source.width > source.height):  # the poses belong to the turned photo
        pixels = _imdecode(path, data, flags)
    return pixels


def _shrink_at_decoding(source: Cameras, target: Cameras) -> int:
    """1, 2, 4 or 8. libjpeg rounds sizes up and pads, which would shift the photo: only n that divide both sides."""
    room = min(source.width / target.width, source.height / target.height) / 2
    fitting = (n for n in REDUCED if n <= room and source.width % n == 0 and source.height % n == 0)
    return max(fitting, default=1)


def _read(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise NerfkitError(f"{path}: cannot be read ({error.strerror}); put the photo back in its place") from None
    if data.startswith(b"\xff\xd8") and data.rfind(b"\xff\xd9", len(data) // 2) < 0:
        raise NerfkitError(f"{path}: the JPEG is truncated (no end marker); replace it or take it out of the scene")
    return data


def _imdecode(path: Path, data: bytes, flags: int) -> Any:
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None:
        raise NerfkitError(f"{path}: the photo cannot be decoded; replace it or take it out of the scene")
    return pixels


def _eight_bit(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Any decoded array as 8 bits with 3 or 4 channels."""
    if pixels.dtype == np.uint16:
        pixels = (pixels / 257 + 0.5).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels


def decode_mask(path: Path, width: int, height: int) -> Any:
    """A mask as [height, width] uint8 as it is stored, without its EXIF turn: 255 is inside, in files of labels 1, too.

    Raises:
        NerfkitError: it can't be decoded.
    """
    mask = _imdecode(path, _read(path), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION)
    if mask.max() == 1:  # labels, not levels
        mask = mask * np.uint8(255)
    return mask if mask.shape == (height, width) else cv2.resize(mask, (width, height), interpolation=cv2.INTER_AREA)


def _decoded_camera(source: Cameras, width: int, height: int) -> Cameras:
    """The camera over a photo decoded at 1/n."""
    shrink = max(1, round(source.width / width))
    return Cameras(source.world_from_cam, source.intrinsics / shrink, width, height, source.model, source.distortion)


def _map_key(camera: Cameras) -> tuple[Any, ...]:
    distortion = () if camera.distortion is None else tuple(camera.distortion[0].tolist())
    return camera.width, camera.height, camera.model, tuple(camera.intrinsics[0].tolist()), distortion


@lru_cache(maxsize=4)  # one camera's photos share their tables; 6 bytes a pixel each
def _maps(
    width: int, height: int, model: Any, intrinsics: tuple[float, ...], distortion: tuple[float, ...]
) -> tuple[Any, Any]:
    camera = Cameras(
        torch.eye(4, dtype=torch.float64)[None],
        torch.tensor([intrinsics], dtype=torch.float64),
        width,
        height,
        model,
        torch.tensor([distortion], dtype=torch.float64),
    )
    return cv2.convertMaps(*maps(camera, pinhole(camera, width, height)), cv2.CV_16SC2)


def _shrink(pixels: Any, width: int, height: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Area-averaged straight RGB [H, W, 3] and alpha [H, W]."""
    size = (width, height)
    if pixels.shape[2] == 3:
        small = (
            pixels if pixels.shape[:2] == (height, width) else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        )
        return cv2.cvtColor(small, cv2.COLOR_BGR2RGB), None
    if pixels.shape[:2] == (height, width):
        return cv2.cvtColor(pixels, cv2.COLOR_BGRA2RGB), np.ascontiguousarray(pixels[..., 3])
    premultiplied = pixels.astype(np.float32)
    premultiplied[..., :3] *= premultiplied[..., 3:] / 255
    small = cv2.resize(premultiplied, size, interpolation=cv2.INTER_AREA)
    straight = small[..., 2::-1] * (255 / np.maximum(small[..., 3:], 1e-3))
    return (straight.clip(0, 255) + 0.5).astype(np.uint8), (small[..., 3] + 0.5).astype(np.uint8)
