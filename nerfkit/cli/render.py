"""``nerfkit render``: videos and stills of a run."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from nerfkit.errors import NerfkitError
from nerfkit.limits import FrameRate, Positive, Within

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.data.scene import Scene
    from nerfkit.views.paths import Made

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
    """What to write: a video (.mp4; .webm, also transparent; .gif), a folder for PNG frames or stills, or a pattern
    such as name_%04d.png or name_%04d.exr (EXR: linear colours, alpha, depth, normals). By default a video in renders/
    of the run folder. The same command goes on where it was interrupted."""
    channels: str | None = None
    """What to show, with commas between: rgb, depth (near is red, far is blue), normal, alpha. Several go into a
    file each: out.mp4, out.depth.mp4; into one with EXR (default: rgb; all of them in EXR)."""
    size: str | None = None
    """Width and height such as 1280x720 (default: the photos' size)."""
    fps: FrameRate | None = None
    """Frames per second (default: those of the path's file, or 30)."""
    seconds: Annotated[float, Within(0, 100_000, above=True)] | None = None
    """Length of the video (default: that of the path's file, or 6)."""
    preview: bool = False
    """A quick look: small, every second frame, one sample a pixel."""
    background: str | None = None
    """Behind the scene: scene (as trained), transparent, or a colour such as white or #20242a (default: scene;
    transparent in EXR)."""
    crop: tuple[tuple[float, float, float, float, float, float], ...] = ()
    """Boxes of the scene frame outside of which nothing is drawn: least x y z, greatest x y z of each."""
    samples: Annotated[int, Within(1, 8)] = 1
    """Samples along a pixel's side: 2 takes four a pixel, for smooth edges."""
    bits: Annotated[int, Within(8, 32)] | None = None
    """Bits a channel: 8 or 16 of PNG, 32 or 16 of EXR (default: 8, 32)."""
    show_cameras: bool = False
    """Draw the photos' cameras: orange those trained on, blue those held out."""
    camera: Literal["auto", "pinhole", "fisheye", "equirect", "vr180"] = "auto"
    """equirect: all directions, for 360 video. vr180: the half before each eye. Both are upright; --size is that of
    one eye's picture (default: 2048x1024, 1440x1440). MP4s tell players what they are. fisheye: equidistant, as large
    in the middle as pinhole. auto: what the path's file says, else pinhole."""
    stereo: Literal["auto", "none", "on", "side-by-side", "over-under"] = "auto"
    """A picture for each eye, the left one on the left or above. on: as players expect it, over-under of equirect, else
    side-by-side. auto: what the path's file says, else none; vr180 always has two side by side."""
    eye_distance: Positive | None = None
    """Between the eyes: metres where the scale of the run's poses is known, else scene units (default: 0.063 metres, or
    1/30 of the cameras' distance from the focus)."""
    with_: Annotated[Path | None, tyro.conf.arg(name="with")] = None
    """Another run of the same photos' poses, to compare."""
    compare: Literal["wipe", "side-by-side"] = "wipe"
    """How two runs share a picture: parted by a line that wanders, or beside each other."""
    device: str = "auto"
    """Where the model is rendered: auto, cpu, cuda or cuda:N (see nerfkit train)."""
    backend: str = "auto"
    """Render core: auto, nerfkit, gsplat, tcnn or reference (see nerfkit doctor)."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.cli.render_plan import Plan
    from nerfkit.train import report
    from nerfkit.train.run import Run

    plan = Plan.of(options)  # bad options are told before the work
    source = Run.open(options.run)
    out = plan.out(source)
    plan.check(out)
    start = time.perf_counter()
    try:
        written = plan.render(source, out, console)
    except KeyboardInterrupt:
        if not plan.stills:
            console.say("what is finished is kept: the same command goes on from there")
        raise
    result = {"path": options.path, "channels": plan.channels, **written}
    result["seconds"] = round(time.perf_counter() - start, 3)
    files, frames, drawn = written["files"], written["frames"], written["rendered"]
    what = f"{len(files)} stills" if plan.stills else f"{frames} frames"
    before = f" ({frames - drawn} of them there before)" if drawn < frames else ""
    size = f"{written['width']}x{written['height']}"
    console.say(f"[bold]{out}[/]: {what} of {size} in {result['seconds']:.1f} s{before}")
    report.refresh(source, [out])
    return result


def make_path(scene: Scene, options: Options, size: tuple[int, int] | None) -> Made:
    """The path that the options ask for; warns of what is doubtful about it."""
    from nerfkit.cli.render_plan import camera_type
    from nerfkit.views import paths

    asked = paths.PathOptions(
        fps=options.fps,
        seconds=options.seconds,
        loop=options.loop or None,
        constant_speed=options.constant_speed or None,
        ease=options.ease or None,
        pull_in=options.pull_in,
        camera_type=None if options.camera == "auto" else camera_type(options.camera, None),
        frame=options.path_frame,
    )
    made = paths.make(scene, options.path, size, asked)
    for line in made.warnings:
        log.warning("%s", line)
    return made


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
