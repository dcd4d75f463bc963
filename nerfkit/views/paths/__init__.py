"""Camera paths: made from a scene's photos, from keyframes, or read from files. All in the scene frame."""

from nerfkit.views.paths.around import covered_arc, dolly_zoom, lemniscate, orbit, spiral
from nerfkit.views.paths.camera_path import CameraPath, Keyframe
from nerfkit.views.paths.framing import photo_size
from nerfkit.views.paths.photos import held_out, held_out_indices, interpolate, tour

__all__ = [
    "CameraPath",
    "Keyframe",
    "covered_arc",
    "dolly_zoom",
    "held_out",
    "held_out_indices",
    "interpolate",
    "lemniscate",
    "orbit",
    "photo_size",
    "spiral",
    "tour",
]
