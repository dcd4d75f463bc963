"""Undistorted photos that all have one pinhole camera with its principal point in the middle, for formats that know no
other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from nerfkit.cameras import distort
from nerfkit.capture.pixels import large_pictures
from nerfkit.contracts import Cameras
from nerfkit.data.images import decode_mask
from nerfkit.data.raw import RawScene, RawView
from nerfkit.data.undistort import maps
from nerfkit.errors import NerfkitError
from nerfkit.poses.model import turned

STEP, LARGEST = 1.005, 4.0  # how the focal length grows until no photo has empty borders
_PER_SIDE = 65


@dataclass(frozen=True)
class SharedCamera:
    """A pinhole camera with square pixels and its principal point in the middle."""

    width: int
    height: int
    focal: float  # pixels

    @property
    def angle_x(self) -> float:
        """The angle of view over the whole width, radians."""
        return 2 * math.atan(self.width / 2 / self.focal)

    def at(self, world_from_cam: Tensor) -> Cameras:
        intrinsics = [[self.focal, self.focal, self.width / 2, self.height / 2]]
        return Cameras(world_from_cam, torch.tensor(intrinsics, dtype=torch.float64), self.width, self.height)


def shared_camera(scene: RawScene) -> SharedCamera:
    """The camera of all views together: the widest that leaves no border empty in any photo.

    Raises:
        NerfkitError: photos of different sizes; cameras so different that none is left.
    """
    sizes = {(view.camera.width, view.camera.height) for view in scene.views}
    if len(sizes) > 1:
        words = ", ".join(f"{width}x{height}" for width, height in sorted(sizes)[:4])
        raise NerfkitError(f"{scene.source}: photos of different sizes ({words}); this format has one camera for all")
    ((width, height),) = sizes
    cameras = [view.camera for view in scene.views]
    smallest = min(float(camera.intrinsics[0, :2].min()) for camera in cameras)
    shared = SharedCamera(width, height, smallest)
    while not _inside(shared, cameras):
        shared = SharedCamera(width, height, shared.focal * STEP)
        if shared.focal > LARGEST * smallest:
            raise NerfkitError(f"{scene.source}: its cameras differ too much for a format with one camera for all")
    return shared


def _inside(shared: SharedCamera, cameras: Sequence[Cameras]) -> bool:
    """Whether the border of the shared camera's picture lies within every photo."""
    t = torch.linspace(0, 1, _PER_SIDE, dtype=torch.float64)
    zero, one = torch.zeros_like(t), torch.ones_like(t)
    sides = torch.cat([torch.stack(pair, -1) for pair in ((t, zero), (t, one), (zero, t), (one, t))])
    size = torch.tensor([shared.width, shared.height], dtype=torch.float64)
    xy = (sides - 0.5) * size / shared.focal
    for camera in cameras:
        pixels = distort(camera, xy[None])[0] * camera.intrinsics[0, :2] + camera.intrinsics[0, 2:]
        if not bool(((pixels >= -1e-6 * size) & (pixels <= (1 + 1e-6) * size)).all()):
            return False
    return True


def write_flat(view: RawView, shared: SharedCamera, target: Path) -> None:
    """Writes a photo as the shared camera sees it; PNGs get an alpha channel where the photo has one or a mask.

    Raises:
        NerfkitError: the photo can't be decoded.
    """
    pixels = _pixels(view)
    across, down = maps(view.camera, shared.at(view.camera.world_from_cam))
    flat = cv2.remap(pixels, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    target.parent.mkdir(parents=True, exist_ok=True)
    order = cv2.COLOR_RGBA2BGRA if flat.shape[2] == 4 else cv2.COLOR_RGB2BGR
    options = [cv2.IMWRITE_JPEG_QUALITY, 95] if target.suffix == ".jpg" else []
    done, data = cv2.imencode(target.suffix, cv2.cvtColor(flat, order), options)
    assert done
    target.write_bytes(data.tobytes())


def _pixels(view: RawView) -> Any:
    """RGB [H, W, 3] or, with an alpha channel or a mask, RGBA [H, W, 4]; uint8, turned as the camera has it."""
    from PIL import Image, ImageOps

    alpha = view.has_alpha or view.mask_path is not None
    try:
        with large_pictures(), Image.open(view.path) as photo:
            upright = ImageOps.exif_transpose(photo) if turned(view) else photo
            pixels = np.array(upright.convert("RGBA" if alpha else "RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise NerfkitError(f"{view.path}: the photo cannot be decoded ({error}); replace it") from None
    if view.mask_path is not None:
        pixels[..., 3] = np.minimum(pixels[..., 3], decode_mask(view.mask_path, pixels.shape[1], pixels.shape[0]))
    return pixels
