"""What a user can choose about pose estimation. Imports neither torch nor pycolmap."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nerfkit.errors import NerfkitError
from nerfkit.limits import Frames, Seed

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
STRONGER = {  # for photos of which too few fit together
    "draft": FeatureSettings(1080, 2048, -1),
    "normal": FeatureSettings(1600, 4096, -1),
    "best": FeatureSettings(2400, 8192, -1),
}
FEWEST_SHARE = 0.5  # share of registered photos below which another way is tried
EXHAUSTIVE_UP_TO = 20  # photos: so few are compared in no time
PREVIEW_UP_TO = 80  # photos: with more of them, most pairs share nothing


@dataclass(frozen=True)
class PoseOptions:
    quality: Literal["draft", "normal", "best"] = "normal"
    """How many features are looked for, and at what image size; best takes about five times longer than normal."""
    features: Literal["sift", "aliked"] = "sift"
    """What is looked for in photos; aliked: learned features, matched by LightGlue, for which pycolmap must be built
    with ONNX Runtime (PyPI's are not)."""
    feature_models: Path | None = None
    """With --features aliked: folder that holds aliked-n16rot.onnx and aliked-lightglue.onnx of COLMAP's release
    3.13.0; nothing is downloaded."""
    matcher: Literal["auto", "exhaustive", "preview", "sequential", "retrieval"] = "auto"
    """Which photos are compared: all pairs, those that a quick look at all pairs promises (with --features sift),
    neighbours by name (for frames of a walk or a video), or photos that look alike; auto: all pairs up to 20 photos,
    preview up to 80, else by whether neighbours by name look alike."""
    camera_model: CameraModelName = "OPENCV"
    """COLMAP's camera model, estimated with the poses; EQUIRECTANGULAR: panoramas of 360 degrees, which are split into
    perspective views (their metadata says so, as a rule)."""
    single_camera: Literal["auto", "yes", "no"] = "auto"
    """Whether photos share their intrinsics; auto: those of the same size, camera and zoom do."""
    masks: Path | None = None
    """Folder of masks, white where the scene is: NAME.jpg.png or NAME.png for each photo, in subfolders as the photos
    lie. By default a folder masks inside or beside that of the photos."""
    frames: Frames | None = None
    """Of a video, or of each: about how many of its frames become photos, the sharpest and evenly spread over the
    motion (default: 40 to 300, of several together, by how far the picture moves)."""
    seed: Seed = 0
    """Seed of everything random in matching and mapping."""
    scale_ref: tuple[str, ...] = ()
    """A known distance, which makes the unit a metre: two points marked in a photo (pixels) and how far they are apart,
    IMG_A.jpg:812,455 IMG_A.jpg:1310,470 1.50m (more exact: each in two photos, A1 A2 B1 B2 1.50m), or how far
    two photos were taken apart, cameras IMG_A.jpg IMG_B.jpg 2.1m. Units: m, cm, mm, km, ft, in."""

    def check(self) -> None:
        """Raises NerfkitError: a value that is none of the choices; a scale reference without sense."""
        for name, choices in (
            ("quality", tuple(QUALITY)),
            ("features", ("sift", "aliked")),
            ("matcher", ("auto", "exhaustive", "preview", "sequential", "retrieval")),
            ("camera_model", CameraModelName.__args__),  # type: ignore[attr-defined]
            ("single_camera", ("auto", "yes", "no")),
        ):
            if getattr(self, name) not in choices:
                raise NerfkitError(f"{name}: {getattr(self, name)!r} is not one of {', '.join(choices)}")
        if self.feature_models is not None and self.features == "sift":
            raise NerfkitError("--feature-models: SIFT needs no models; add --features aliked")
        if self.matcher == "preview" and self.features != "sift":
            raise NerfkitError("--matcher preview: looks at SIFT's features alone; leave --matcher or --features out")
        if self.scale_ref:
            from nerfkit.poses import scale_reference

            scale_reference.parse(self.scale_ref)
