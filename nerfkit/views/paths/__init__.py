"""Camera paths: made from a scene's photos, from keyframes, or read from files. All in the scene frame."""

from nerfkit.views.paths.around import covered_arc, dolly_zoom, lemniscate, orbit, spiral
from nerfkit.views.paths.camera_path import CameraPath, Keyframe
from nerfkit.views.paths.coverage import leaves, pull_in
from nerfkit.views.paths.files import read_path, write_path
from nerfkit.views.paths.framing import photo_size
from nerfkit.views.paths.make import NAMES, Made, PathOptions, check_name, make, stem
from nerfkit.views.paths.photos import held_out, held_out_indices, interpolate, tour

__all__ = [
    "NAMES",
    "CameraPath",
    "Keyframe",
    "Made",
    "PathOptions",
    "check_name",
    "covered_arc",
    "dolly_zoom",
    "held_out",
    "held_out_indices",
    "interpolate",
    "leaves",
    "lemniscate",
    "make",
    "orbit",
    "photo_size",
    "pull_in",
    "read_path",
    "spiral",
    "stem",
    "tour",
    "write_path",
]
