"""What a user can choose about pose estimation. Imports neither torch nor pycolmap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from nerfkit.errors import NerfkitError

CameraModelName = Literal["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"]


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
EXHAUSTIVE_UP_TO = 400  # photos: about 15 minutes on two cores, growing with the square


@dataclass(frozen=True)
class PoseOptions:
    quality: Literal["draft", "normal", "best"] = "normal"
    """How many features are looked for, and at what image size; best takes about five times longer than normal."""
    matcher: Literal["auto", "exhaustive", "sequential"] = "auto"
    """Which photos are compared: all pairs, or neighbours by name (for frames of a walk); auto: all pairs up to 400
    photos."""
    camera_model: CameraModelName = "OPENCV"
    """COLMAP's camera model, estimated with the poses."""
    single_camera: Literal["auto", "yes", "no"] = "auto"
    """Whether photos share their intrinsics; auto: those of the same size, camera and zoom do."""
    seed: int = 0
    """Seed of everything random in matching and mapping."""
    scale_ref: tuple[str, ...] = ()
    """A known distance, which makes the unit a metre: two points marked in a photo (pixels) and how far they are apart,
    IMG_A.jpg:812,455 IMG_A.jpg:1310,470 1.50m (more exact: each in two photos, A1 A2 B1 B2 1.50m), or how far
    two photos were taken apart, cameras IMG_A.jpg IMG_B.jpg 2.1m. Units: m, cm, mm, km, ft, in."""

    def check(self) -> None:
        """Raises NerfkitError: a value that is none of the choices; a scale reference without sense."""
        for name, choices in (
            ("quality", tuple(QUALITY)),
            ("matcher", ("auto", "exhaustive", "sequential")),
            ("camera_model", CameraModelName.__args__),  # type: ignore[attr-defined]
            ("single_camera", ("auto", "yes", "no")),
        ):
            if getattr(self, name) not in choices:
                raise NerfkitError(f"{name}: {getattr(self, name)!r} is not one of {', '.join(choices)}")

        if self.scale_ref:
            from nerfkit.poses import scale_reference

            scale_reference.parse(self.scale_ref)

    def matcher_for(self, photos: int) -> str:
        if self.matcher != "auto":
            return self.matcher
        return "exhaustive" if photos <= EXHAUSTIVE_UP_TO else "sequential"
