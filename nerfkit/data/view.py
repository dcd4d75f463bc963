"""One photo of a scene, and how a scene's file tells of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from nerfkit.contracts import Cameras
from nerfkit.data.images import Photo, PhotoCache, load_photo


@dataclass(eq=False)
class PhotoView:
    """One photo, undistorted and at the scene's size once it is asked for (:class:`nerfkit.contracts.View`)."""

    name: str
    camera: Cameras  # C = 1, pinhole, scene frame, float32
    path: Path
    source: Cameras  # C = 1, the whole photo's camera with its distortion, float64; its pose is in the world frame
    cache: PhotoCache = field(repr=False)
    mask_path: Path | None = None
    has_alpha: bool = False
    bounds: tuple[float, float] | None = None  # nearest and farthest depth it shows, scene units; None: not known

    def image(self) -> Tensor:
        """[H, W, 3] uint8 sRGB; decoded at first use. Shared with the cache: don't write into it."""
        return self._photo()[0]

    @property
    def has_mask(self) -> bool:
        """Whether :meth:`mask` gives one, without decoding the photo."""
        return self.has_alpha or self.mask_path is not None

    def mask(self) -> Tensor | None:
        """[H, W] uint8, 255 = part of the scene: the alpha channel or the mask file; None without either."""
        return self._photo()[1] if self.has_mask else None

    def _photo(self) -> Photo:
        return self.cache.get(self.name, lambda: load_photo(self.path, self.source, self.camera, self.mask_path))

    def to_json(self, folder: Path) -> dict[str, Any]:
        """Args: folder: of the file it goes to."""

        def place(path: Path | None) -> str | None:
            if path is None:
                return None
            path = path.resolve()  # below the scene's folder: relative, so that both can move together
            return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)

        return {
            "name": self.name,
            "path": place(self.path),
            "mask_path": place(self.mask_path),
            "has_alpha": self.has_alpha,
            "bounds": self.bounds,
            "camera": _camera_to_json(self.camera),
            "source": _camera_to_json(self.source),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any], folder: Path, cache: PhotoCache) -> Self:
        """What :meth:`to_json` gave. Raises KeyError, TypeError, ValueError: it is damaged."""
        mask_path = folder / data["mask_path"] if data["mask_path"] else None
        bounds = data.get("bounds")  # files of the first scenes have none
        return cls(
            data["name"],
            _camera_from_json(data["camera"], torch.float32),
            folder / data["path"],
            _camera_from_json(data["source"], torch.float64),
            cache,
            mask_path,
            data["has_alpha"],
            None if bounds is None else (float(bounds[0]), float(bounds[1])),
        )


def _camera_to_json(camera: Cameras) -> dict[str, Any]:
    def numbers(values: Tensor) -> Sequence[Any]:
        return values[0].double().tolist()  # exact: json prints doubles so that they read back equal

    return {
        "model": camera.model,
        "width": camera.width,
        "height": camera.height,
        "intrinsics": numbers(camera.intrinsics),
        "distortion": None if camera.distortion is None else numbers(camera.distortion),
        "world_from_cam": numbers(camera.world_from_cam),
    }


def _camera_from_json(data: dict[str, Any], dtype: torch.dtype) -> Cameras:
    distortion = None if data["distortion"] is None else torch.tensor([data["distortion"]], dtype=dtype)
    return Cameras(
        torch.tensor([data["world_from_cam"]], dtype=dtype),
        torch.tensor([data["intrinsics"]], dtype=dtype),
        data["width"],
        data["height"],
        data["model"],
        distortion,
    )
