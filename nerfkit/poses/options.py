"""What a user can choose about pose estimation. Imports neither torch nor pycolmap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nerfkit.errors import NerfkitError

CameraModelName = Literal[
    "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE", "EQUIRECTANGULAR"
]


@dataclass(frozen=True)
class FeatureSettings:
    max_image_size: int  # pixels of the longer side; larger photos are shrunk before features are looked for
    max_num_features: int
    first_octave: int  # -1 doubles the photo first: 4-6 times slower, hardly more accurate


QUALITY = {
    "draft": FeatureSettings(800, 1024, 0),
    "normal": FeatureSettings(1080, 2048, 0),
    "best": FeatureSettings(1600, 4096, -1),
}
ALL_FRAMES_UP_TO = 80  # frames of a video: with more of them, neighbours and some loops are enough
EXHAUSTIVE_UP_TO = 400  # photos: about 15 minutes on two cores, growing with the square


@dataclass(frozen=True)
class PoseOptions:
    quality: Literal["draft", "normal", "best"] = "normal"
    """How many features are looked for, and at what image size; best takes about five times longer than normal."""
    matcher: Literal["auto", "exhaustive", "sequential"] = "auto"
    """Which photos are compared: all pairs, or neighbours by name (for frames of a walk); auto: all pairs up to 400
    photos, or 80 frames of a video."""
    camera_model: CameraModelName = "OPENCV"
    """COLMAP's camera model, estimated with the poses; EQUIRECTANGULAR: panoramas of 360 degrees, which are split into
    perspective views (their metadata says so, as a rule)."""
    single_camera: Literal["auto", "yes", "no"] = "auto"
    """Whether photos share their intrinsics; auto: those of the same size, camera and zoom do."""
    frames: int | None = None
    """Of a video: about how many of its frames become photos, the sharpest and evenly spread over the motion (default:
    40 to 300, by how far the picture moves)."""
    seed: int = 0
    """Seed of everything random in matching and mapping."""

    def check(self) -> None:
        """Raises NerfkitError: a value that is none of the choices."""
        for name, choices in (
            ("quality", tuple(QUALITY)),
            ("matcher", ("auto", "exhaustive", "sequential")),
            ("camera_model", CameraModelName.__args__),  # type: ignore[attr-defined]
            ("single_camera", ("auto", "yes", "no")),
        ):
            if getattr(self, name) not in choices:
                raise NerfkitError(f"{name}: {getattr(self, name)!r} is not one of {', '.join(choices)}")

    def matcher_for(self, photos: int, ordered: bool = False) -> str:
        """``ordered``: neighbours by name were taken one after the other."""
        if self.matcher != "auto":
            return self.matcher
        return "exhaustive" if photos <= (ALL_FRAMES_UP_TO if ordered else EXHAUSTIVE_UP_TO) else "sequential"
