"""``nerfkit render``: videos and stills of a run."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nerfkit.errors import NerfkitError

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.contracts import Cameras
    from nerfkit.data.scene import Scene

log = logging.getLogger("nerfkit")

CHANNELS = ("rgb", "depth", "normal", "alpha")
LARGEST_SIDE = 8192  # pixels


@dataclass
class Options:
    run: tyro.conf.Positional[Path]
    """Run folder, as `nerfkit train` leaves it."""
    path: str = "orbit"
    """orbit, spiral, lemniscate (a figure eight), dolly-zoom: closed paths, within what the photos saw of the scene.
    interpolate: through the photos' places. held-out: stills of the photos that were kept out of training. Or a file:
    nerfstudio's camera-path JSON, a glTF or GLB that Blender exported with its camera, a list of poses (JSON matrices,
    transforms.json, TUM, COLMAP's images.txt)."""
    path_frame: str = "auto"
    """Where a file's coordinates belong: auto, scene, world, nerfstudio (as it normalises the same photos), the file of
    the mesh (by nerfkit mesh) that a camera was laid around, or a dataparser_transforms.json."""
    loop: bool = False
    """Go on from the last keyframe or photo to the first."""
    constant_speed: bool = False
    """Leave the times of a file's keyframes aside."""
    ease: bool = False
    """Set off and arrive slowly."""
    pull_in: bool = False
    """Bring the path back smoothly where it leaves what the photos saw."""
    save_path: Path | None = None
    """Write the path, too, as nerfstudio's camera-path JSON."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Video to write (.mp4, .gif), or the folder for stills. By default in renders/ of the run folder."""
    channels: str = "rgb"
    """What to show, with commas between: rgb, depth (near is red, far is blue), normal, alpha. Several go into a
    file each: out.mp4, out.depth.mp4."""
    size: str | None = None
    """Width and height such as 1280x720 (default: the photos' size)."""
    fps: float = 30.0
    """Frames per second."""
    seconds: float = 6.0
    """Length of the video."""
    device: str = "auto"
    """Where the model is rendered: auto, cpu, cuda or cuda:N (see nerfkit train)."""
    backend: str = "auto"
    """Render core: auto, nerfkit, gsplat, tcnn or reference (see nerfkit doctor)."""


def run(options: Options, console: Console) -> dict[str, Any]:
    channels, size = parse_channels(options.channels), parse_size(options.size)
    for name in ("fps", "seconds"):
        if not 0 < getattr(options, name) < 1e5:
            raise NerfkitError(f"--{name} {getattr(options, name):g}: must be more than 0")

    from nerfkit.train.run import Run
    from nerfkit.views import video
    from nerfkit.views.frames import render_frames
    from nerfkit.views.paths import held_out_indices

    source = Run.open(options.run)
    stills = options.path == "held-out"
    out = options.out or source.renders / (options.path if stills else f"{options.path}.mp4")
    files = {channel: channel_file(out, channel, channels) for channel in channels}
    if stills and (out.is_file() or out.suffix.lower() in video.FORMATS):
        raise NerfkitError(f"{out}: --path held-out writes stills into a folder; give a folder")
    for file in files.values() if not stills else ():
        video.check(file)  # before the work, not after it
    start = time.perf_counter()
    scene = source.scene()
    cameras = path_cameras(scene, options, size)
    model = source.model(options.device, options.backend, scene)
    frames = render_frames(model, cameras, channels, console.progress)
    if stills:
        names = [scene.views[index].name for index in held_out_indices(scene)]
        written = video.write_stills(out, names, frames)
    else:
        written = video.write_channels(files, frames, options.fps)
    result = {
        "path": options.path,
        "channels": channels,
        "frames": len(cameras),
        "width": cameras.width,
        "height": cameras.height,
        "files": [str(file) for file in written],
        "seconds": round(time.perf_counter() - start, 3),
    }
    what = f"{len(written)} stills" if stills else f"{len(cameras)} frames"
    console.say(f"[bold]{out}[/]: {what} of {cameras.width}x{cameras.height} in {result['seconds']:.1f} s")
    return result


def path_cameras(scene: Scene, options: Options, size: tuple[int, int] | None) -> Cameras:
    from nerfkit.views import paths

    asked = paths.PathOptions(
        fps=options.fps,
        seconds=None if options.seconds == Options.seconds else options.seconds,  # a file has its own
        loop=options.loop or None,
        constant_speed=options.constant_speed or None,
        ease=options.ease or None,
        pull_in=options.pull_in,
        frame=options.path_frame,
    )
    made = paths.make(scene, options.path, size, asked)
    for line in made.warnings:
        log.warning("%s", line)
    if options.save_path is not None:
        paths.write_path(options.save_path, made.path, scene)
    return made.cameras


def channel_file(out: Path, channel: str, channels: list[Any]) -> Path:
    """``out`` for the only channel or rgb, else ``out`` with the channel before its suffix."""
    return out if len(channels) == 1 or channel == "rgb" else out.with_name(f"{out.stem}.{channel}{out.suffix}")


def parse_channels(text: str) -> list[Any]:
    """Raises NerfkitError: an unknown channel, or none."""
    channels = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    unknown = [channel for channel in channels if channel not in CHANNELS]
    if unknown or not channels:
        raise NerfkitError(f"--channels {text!r}: choose from {', '.join(CHANNELS)}, with commas between")
    return channels


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Raises NerfkitError: not WIDTHxHEIGHT, or a size that no video has."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)[xX](\d+)", text.strip())
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(2 <= side <= LARGEST_SIDE for side in size):
        raise NerfkitError(f"--size {text!r}: write it like 1280x720, each side from 2 to {LARGEST_SIDE} pixels")
    return size
