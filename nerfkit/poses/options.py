"""How poses are estimated. Torch-free and pycolmap-free: the command line imports it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from nerfkit.errors import NerfkitError

Quality = Literal["draft", "normal", "best"]
Matcher = Literal["auto", "exhaustive", "sequential"]
CameraModel = Literal["auto", "OPENCV", "SIMPLE_RADIAL", "RADIAL", "PINHOLE", "SIMPLE_PINHOLE", "OPENCV_FISHEYE"]

# quality: longer side in pixels, features a photo. More of either costs time faster than it gains accuracy.
PRESETS: dict[str, tuple[int, int]] = {"draft": (800, 1024), "normal": (1080, 2048), "best": (2000, 8192)}


@dataclass(kw_only=True)
class PoseOptions:
    quality: Quality = "normal"
    """How much work to put in: draft is for a quick look, best for few photos or weak texture."""
    matcher: Matcher = "auto"
    """Which photos to compare: exhaustive (all with all), sequential (neighbours by name and a few far ones),
    auto (exhaustive up to 200 photos)."""
    camera_model: CameraModel = "auto"
    """COLMAP camera model. auto: OPENCV, or SIMPLE_RADIAL for a camera with fewer than 8 photos."""
    single_camera: bool = False
    """All photos come from one camera with a fixed zoom, whatever their EXIF says."""
    max_size: int | None = None
    """Longer side, in pixels, at which features are found (default: by quality)."""
    features: int | None = None
    """Features per photo (default: by quality)."""
    seed: int = 0
    """Seed of the random sampling."""

    def check(self) -> None:
        """Raises NerfkitError: a value that makes no sense."""
        for name, kind in (("quality", Quality), ("matcher", Matcher), ("camera_model", CameraModel)):
            if getattr(self, name) not in get_args(kind):
                raise NerfkitError(f"{name} is {getattr(self, name)!r}; choose one of {', '.join(get_args(kind))}")
        for name, least in (("max_size", 64), ("features", 32)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise NerfkitError(f"{name} is {value}; it must be at least {least}")

    @property
    def size(self) -> int:
        return self.max_size or PRESETS[self.quality][0]

    @property
    def feature_count(self) -> int:
        return self.features or PRESETS[self.quality][1]
