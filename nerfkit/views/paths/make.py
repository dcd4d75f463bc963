"""What ``--path`` names: cameras of a path by name or from a file, and what is to be said about them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nerfkit.contracts import Cameras
from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.views.paths import around, photos
from nerfkit.views.paths.camera_path import CameraPath, CameraType
from nerfkit.views.paths.checks import MOST
from nerfkit.views.paths.coverage import Seen, warning
from nerfkit.views.paths.files import read_path
from nerfkit.views.paths.framing import Size, even_size

LOOPS = {
    "orbit": around.orbit,
    "spiral": around.spiral,
    "lemniscate": around.lemniscate,
    "dolly-zoom": around.dolly_zoom,
}
NAMES = (*LOOPS, "interpolate", "held-out")
FPS, SECONDS = 30.0, 6.0  # where neither the options nor a file say so


@dataclass(frozen=True)
class PathOptions:
    """None: as a file has it; without a file, no."""

    fps: float | None = None
    seconds: float | None = None
    loop: bool | None = None  # go on to the first keyframe (or photo) after the last one
    constant_speed: bool | None = None
    ease: bool | None = None  # set off and arrive slowly
    pull_in: bool = False  # bring the path back where it leaves what the photos saw
    camera_type: CameraType | None = None  # that it is drawn for
    frame: str = "auto"  # of a file's coordinates: nerfkit.views.paths.coordinate_frames.scene_from_file


@dataclass(frozen=True)
class Made:
    cameras: Cameras  # [F]
    fps: float
    path: CameraPath  # what a file held; of a path by name, or pulled in, every frame is a keyframe
    warnings: list[str] = field(default_factory=list)  # a line each


def check_name(name: str) -> None:
    """Raises NerfkitError: neither a path's name nor a file that is there."""
    if name not in NAMES and not Path(name).is_file():
        raise NerfkitError(f"--path {name}: no such path or file; choose from {', '.join(NAMES)}, or name a file")


def stem(name: str) -> str:
    """What files made along a path are called."""
    return name if name in NAMES else Path(name).stem


def make(scene: Scene, name: str, size: Size | None = None, options: PathOptions | None = None) -> Made:
    """The cameras of a path: one of :data:`NAMES`, or a file (:func:`nerfkit.views.paths.files.read_path`).

    Args:
        size: of the frames; by default the file's, or the photos'.

    Raises:
        NerfkitError: no such path, a file that is no path, or more frames than any film has.
    """
    options = options or PathOptions()
    check_name(name)
    if name == "held-out":
        cameras, fps = photos.held_out(scene, size), options.fps or FPS
        return Made(cameras, fps, CameraPath.of_frames(cameras, fps=fps))
    warnings: list[str] = []
    path = None if name in NAMES else _asked(read_path(Path(name), scene, options.frame), options)
    fps = options.fps or (path.fps if path else FPS)
    seconds = options.seconds or (path.seconds if path else SECONDS)
    frames = max(1, round(fps * seconds))
    if frames > MOST:
        raise NerfkitError(f"--path {name}: {seconds:g} s at {fps:g} frames/s are {frames} frames; {MOST} may be")
    if path is not None:
        cameras, loop = path.sample(frames, size or path.size or even_size(scene)), path.loop
    elif name == "interpolate":
        loop = bool(options.loop)
        cameras = photos.interpolate(scene, frames, size, loop=loop, ease=bool(options.ease))
    else:
        loop = True
        cameras = LOOPS[name](scene, frames, size, bool(options.ease))
    kind = options.camera_type or (path.camera_type if path else "perspective")
    seen = Seen.of(scene, kind)
    if options.pull_in:
        cameras = seen.pull_in(cameras, loop)
    left = seen.leaves(cameras)
    if left:
        warnings.append(f"{name}: {warning(left, options.pull_in)}")
        lost = sum(last - first + 1 for first, last in left) > frames / 2
        if path is not None and options.frame == "auto" and lost:
            warnings.append(f"{name}: its coordinates may belong to another frame; --path-frame says to which")
    return Made(cameras, fps, _path_of(cameras, path, options, loop, fps), warnings)


def _path_of(cameras: Cameras, path: CameraPath | None, options: PathOptions, loop: bool, fps: float) -> CameraPath:
    """The path that was made, to be kept: a file's own with the length and the speed that were asked for."""
    if path is not None and not options.pull_in:
        return replace(path if options.seconds is None else path.lasting(options.seconds), fps=fps)
    kind = path.camera_type if path else "perspective"
    return replace(CameraPath.of_frames(cameras, loop, fps), camera_type=kind)


def _asked(path: CameraPath, options: PathOptions) -> CameraPath:
    """A file's path with what the options change about it."""
    changed: dict[str, Any] = {
        key: value for key in ("constant_speed", "ease") if (value := getattr(options, key)) is not None
    }
    path = path if options.loop is None else path.looped(options.loop)
    return replace(path, **changed)
