"""``nerfkit render``: videos and stills of a run."""

from __future__ import annotations

import dataclasses
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from nerfkit.errors import NerfkitError

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.contracts import Cameras
    from nerfkit.data.scene import Scene
    from nerfkit.train.run import Run
    from nerfkit.views.draw import Background, Draw
    from nerfkit.views.outputs import Look
    from nerfkit.views.request import Request
    from nerfkit.views.writing import Output

CHANNELS = ("rgb", "depth", "normal", "alpha")
LARGEST_SIDE = 8192  # pixels
MOST_SAMPLES = 8  # along a pixel's side
PREVIEW_SIDE = 480  # pixels, that the longer side of a preview has about


@dataclass
class Options:
    run: tyro.conf.Positional[Path]
    """Run folder, as `nerfkit train` leaves it."""
    path: Literal["orbit", "interpolate", "held-out"] = "orbit"
    """orbit: around the scene, within what the photos saw. interpolate: through the photos' places. held-out:
    stills of the photos that were kept out of training."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """What to write: a video (.mp4; .webm, also transparent; .gif), a folder for PNG frames or stills, or a pattern
    such as name_%04d.png or name_%04d.exr (EXR: linear colours, alpha, depth, normals). By default a video in renders/
    of the run folder. The same command goes on where it was interrupted."""
    channels: str | None = None
    """What to show, with commas between: rgb, depth (near is red, far is blue), normal, alpha. Several go into a
    file each: out.mp4, out.depth.mp4; into one with EXR (default: rgb; all of them in EXR)."""
    size: str | None = None
    """Width and height such as 1280x720 (default: the photos' size)."""
    fps: float = 30.0
    """Frames per second."""
    seconds: float = 6.0
    """Length of the video."""
    preview: bool = False
    """A quick look: small, every second frame, one sample a pixel."""
    background: str | None = None
    """Behind the scene: scene (as trained), transparent, or a colour such as white or #20242a (default: scene;
    transparent in EXR)."""
    crop: tuple[tuple[float, float, float, float, float, float], ...] = ()
    """Boxes of the scene frame outside of which nothing is drawn: least x y z, greatest x y z of each."""
    samples: int = 1
    """Samples along a pixel's side: 2 takes four a pixel, for smooth edges."""
    bits: int | None = None
    """Bits a channel: 8 or 16 of PNG, 32 or 16 of EXR (default: 8, 32)."""
    show_cameras: bool = False
    """Draw the photos' cameras: orange those trained on, blue those held out."""
    device: str = "auto"
    """Where the model is rendered: auto, cpu, cuda or cuda:N (see nerfkit train)."""
    backend: str = "auto"
    """Render core: auto, nerfkit, gsplat, tcnn or reference (see nerfkit doctor)."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.train.run import Run

    plan = Plan.of(options)  # bad options are told before the work
    source = Run.open(options.run)
    out = plan.out(source)
    plan.check(out)
    start = time.perf_counter()
    written = plan.render(source, out, console)
    result = {"path": options.path, "channels": plan.channels, **written}
    result["seconds"] = round(time.perf_counter() - start, 3)
    files, frames, drawn = written["files"], written["frames"], written["rendered"]
    what = f"{len(files)} stills" if plan.stills else f"{frames} frames"
    before = f" ({frames - drawn} of them there before)" if drawn < frames else ""
    size = f"{written['width']}x{written['height']}"
    console.say(f"[bold]{out}[/]: {what} of {size} in {result['seconds']:.1f} s{before}")
    return result


@dataclass
class Plan:
    """The options, understood."""

    options: Options
    channels: list[Any]
    size: tuple[int, int] | None
    background: Background
    exr: bool

    @classmethod
    def of(cls, options: Options) -> Plan:
        """Raises NerfkitError: an option that can't be, or that doesn't go with another one."""
        from nerfkit.views import boxes, outputs, sequence

        exr = options.out is not None and options.out.suffix.lower() == ".exr"
        channels = parse_channels(options.channels or ",".join(outputs.EXR_CHANNELS if exr else ["rgb"]))
        for name in ("fps", "seconds"):
            if not 0 < getattr(options, name) < 1e5:
                raise NerfkitError(f"--{name} {getattr(options, name):g}: must be more than 0")
        if not 1 <= options.samples <= MOST_SAMPLES:
            raise NerfkitError(f"--samples {options.samples}: must be 1 to {MOST_SAMPLES}")
        boxes.check(options.crop)
        background = parse_background(options.background or ("transparent" if exr else "scene"))
        video = options.out is None or not sequence.is_sequence(options.out)
        if background == "transparent" and options.path != "held-out" and video:
            suffix = ".mp4" if options.out is None else options.out.suffix.lower()
            if suffix == ".mp4":
                raise NerfkitError("--background transparent: .mp4 has no transparency; use .webm, .gif or PNG frames")
        return cls(options, channels, parse_size(options.size), background, exr)

    @property
    def stills(self) -> bool:
        return self.options.path == "held-out"

    def out(self, source: Run) -> Path:
        if self.options.out is not None:
            return self.options.out
        name = f"{self.options.path}.preview" if self.options.preview else self.options.path
        return source.renders / (name if self.stills else f"{name}.mp4")

    def check(self, out: Path) -> None:
        """Raises NerfkitError: an output that can't be made."""
        from nerfkit.views import outputs

        if self.stills and (out.is_file() or out.suffix.lower() in (".mp4", ".webm", ".gif", ".exr")):
            raise NerfkitError(f"{out}: --path held-out writes stills into a folder; give a folder")
        if not self.stills:
            outputs.check(out, self.channels, self.options.bits)

    def cameras(self, scene: Scene) -> Cameras:
        """The path's cameras, at the size and in the number that are drawn."""
        options = self.options
        if not options.preview:
            return path_cameras(scene, options, self.size)
        from nerfkit.cameras import resize

        frames = path_cameras(scene, options, self.size)
        shrink = max(2, round(max(frames.width, frames.height) / PREVIEW_SIDE))
        width, height = (max(2, side // shrink // 2 * 2) for side in (frames.width, frames.height))
        small = resize(frames, width, height)
        return small if self.stills else small[::2]

    def render(self, source: Run, out: Path, console: Console) -> dict[str, Any]:
        from nerfkit.train import checkpoint
        from nerfkit.views import writing
        from nerfkit.views.request import Request

        scene = source.scene()
        cameras = self.cameras(scene)
        drawing = self.drawing(source, scene)
        facts = self.facts() | {"model": checkpoint.fingerprint(source.checkpoints)}
        outputs = self.outputs(out, scene, self.look(drawing, cameras), Request.of(cameras, facts))
        drawn = writing.write(drawing, cameras, outputs, console.progress)
        return {
            "frames": len(cameras),
            "rendered": drawn,
            "width": cameras.width,
            "height": cameras.height,
            "files": [str(file) for file in interleaved([output.files for output in outputs])],
        }

    def drawing(self, source: Run, scene: Scene) -> Draw:
        """All that is done from the model to a picture."""
        from nerfkit.views import boxes, draw, frustums

        options = self.options
        model = source.model(options.device, options.backend, scene)
        drawing = draw.over(draw.of_model(boxes.cropped(model, options.crop)), self.background)
        samples = 1 if options.preview else options.samples
        if options.show_cameras:
            drawing = frustums.with_lines(drawing, frustums.of_scene(scene))
        return draw.supersampled(drawing, samples)

    def look(self, drawing: Draw, cameras: Cameras) -> Look:
        from nerfkit.views.frames import probe_depth
        from nerfkit.views.outputs import Look

        colored = "depth" in self.channels and not self.exr
        limits = probe_depth(drawing, cameras) if colored else None
        return Look(self.channels, self.background == "transparent", limits, self.options.bits)

    def outputs(self, out: Path, scene: Scene, look: Look, request: Request) -> list[Output]:
        from nerfkit.views import outputs, paths

        if self.stills:
            names = [scene.views[index].name for index in paths.held_out_indices(scene)]
            return outputs.of_stills(out, names, look)
        fps = self.options.fps / 2 if self.options.preview else self.options.fps
        return outputs.of_path(out, look, request, fps)

    def facts(self) -> dict[str, Any]:
        """The options that decide what is on a picture, beside its camera."""
        said = dataclasses.asdict(self.options)
        named = ("crop", "samples", "preview", "show_cameras")
        return {name: said[name] for name in named} | {"background": self.background}


def path_cameras(scene: Scene, options: Options, size: tuple[int, int] | None) -> Cameras:
    from nerfkit.views import paths

    if options.path == "held-out":
        return paths.held_out(scene, size)
    frames = max(1, round(options.fps * options.seconds))
    make = paths.orbit if options.path == "orbit" else paths.interpolate
    return make(scene, frames, size)


def interleaved(lists: list[list[Any]]) -> list[Any]:
    """The first of each list, then the second of each…"""
    longest = max(len(items) for items in lists)
    return [items[index] for index in range(longest) for items in lists if index < len(items)]


def parse_channels(text: str) -> list[Any]:
    """Raises NerfkitError: an unknown channel, or none."""
    channels = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    unknown = [channel for channel in channels if channel not in CHANNELS]
    if unknown or not channels:
        raise NerfkitError(f"--channels {text!r}: choose from {', '.join(CHANNELS)}, with commas between")
    return channels


def parse_background(text: str) -> Background:
    """``scene``, ``transparent``, or a colour by a CSS name or hexadecimal number.

    Raises NerfkitError: none of them.
    """
    from PIL import ImageColor

    word = text.strip().lower()
    if word == "scene":
        return "scene"
    if word == "transparent":
        return "transparent"
    hexadecimal = f"#{word}" if re.fullmatch(r"[0-9a-f]{3}|[0-9a-f]{6}", word) else word
    try:
        red, green, blue = ImageColor.getrgb(hexadecimal)[:3]
    except ValueError:
        raise NerfkitError(
            f"--background {text!r}: use scene, transparent, a colour's name such as white, or a number such as #20242a"
        ) from None
    return red / 255, green / 255, blue / 255


def parse_size(text: str | None) -> tuple[int, int] | None:
    """Raises NerfkitError: not WIDTHxHEIGHT, or a size that no video has."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)[xX](\d+)", text.strip())
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(2 <= side <= LARGEST_SIDE for side in size):
        raise NerfkitError(f"--size {text!r}: write it like 1280x720, each side from 2 to {LARGEST_SIDE} pixels")
    return size
