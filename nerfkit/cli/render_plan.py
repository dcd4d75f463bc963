"""What the options of ``nerfkit render`` come to."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nerfkit.cameras import resize
from nerfkit.cli.mesh import is_metric
from nerfkit.cli.render import Options, make_path, parse_channels, parse_size
from nerfkit.contracts import Cameras
from nerfkit.errors import NerfkitError
from nerfkit.train import checkpoint, compare
from nerfkit.train.run import Run
from nerfkit.views import boxes, outputs, paths, sequence, spherical, video, writing
from nerfkit.views.assembly import SIZES, Source, Style, assembled, frame_size, placed
from nerfkit.views.beside import SWEEP
from nerfkit.views.draw import Background, Draw
from nerfkit.views.frames import probe_depth
from nerfkit.views.lenses import SPANS, Projection
from nerfkit.views.outputs import Look
from nerfkit.views.paths.camera_path import PROJECTIONS, CameraPath, CameraType
from nerfkit.views.request import Request
from nerfkit.views.stereo import Layout

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.data.scene import Scene
    from nerfkit.views.paths import Made

LAYOUTS: dict[CameraType, Layout] = {"omnidirectional": "over-under", "vr180": "side-by-side"}
MOST_GIF_FPS = 50  # browsers show frames of less than 20 ms for 100 ms
PREVIEW_SIDE = 480  # pixels, that the longer side of a preview has about


@dataclass(frozen=True)
class Plan:
    """The options, understood."""

    options: Options
    channels: list[Any]
    size: tuple[int, int] | None
    style: Style
    exr: bool

    @classmethod
    def of(cls, options: Options) -> Plan:
        """Raises NerfkitError: an option that can't be, or that doesn't go with another one."""
        exr = options.out is not None and options.out.suffix.lower() == ".exr"
        channels = parse_channels(options.channels or ",".join(outputs.EXR_CHANNELS if exr else ["rgb"]))
        paths.check_name(options.path)
        background = parse_background(options.background or ("transparent" if exr else "scene"))
        return cls(options, channels, parse_size(options.size), style_of(options, background), exr)

    def along(self, made: Made) -> Plan:
        """The plan for a path, whose file may say what camera it is for.

        Raises NerfkitError: an option that doesn't go with that camera.
        """
        return dataclasses.replace(self, style=style_of(self.options, self.style.background, made.path.camera_type))

    @property
    def stills(self) -> bool:
        return self.options.path == "held-out"

    def out(self, source: Run) -> Path:
        if self.options.out is not None:
            return self.options.out
        name = paths.stem(self.options.path) + (".preview" if self.options.preview else "")
        return source.renders / (name if self.stills else f"{name}.mp4")

    def check(self, out: Path) -> None:
        """Raises NerfkitError: an output that can't be made, or can't hold what is asked for."""
        if self.stills and (out.is_file() or out.suffix.lower() in (*video.FORMATS, ".exr")):
            raise NerfkitError(f"{out}: --path held-out writes stills into a folder; give a folder")
        if self.stills:
            outputs.check(out / "%d.png", self.channels, self.options.bits)
            return
        outputs.check(out, self.channels, self.options.bits)
        if sequence.is_sequence(out):
            return
        suffix = out.suffix.lower()
        if self.style.background == "transparent" and not video.FORMATS[suffix].alpha:
            raise NerfkitError(f"--background transparent: {suffix} has no transparency; use .webm, .gif or PNG frames")

    def render(self, source: Run, out: Path, console: Console) -> dict[str, Any]:
        runs = [source] if self.options.with_ is None else [source, Run.open(self.options.with_)]
        scenes = [run.scene() for run in runs]
        if len({scene.source for scene in scenes}) > 1:
            console.warn("the runs' poses are from different files; unless these share a world, pictures won't match")
        made = make_path(scenes[0], self.options, self.size)
        return self.along(made).draw(made, runs, scenes, out, console)

    def draw(self, path: Made, runs: list[Run], scenes: list[Scene], out: Path, console: Console) -> dict[str, Any]:
        """Draws the path; what came out, for ``--json``."""
        options = self.options
        if self.style.degrees is not None and out.suffix.lower() in video.FORMATS and out.suffix.lower() != ".mp4":
            console.warn(f"{out}: players won't know it for a panorama; a .mp4 says that it is one")
        if out.suffix.lower() == ".gif" and path.fps > MOST_GIF_FPS:
            console.warn(f"{out}: players slow a GIF of {path.fps:g} frames/s down; give --fps {MOST_GIF_FPS} or less")
        if options.save_path is not None:
            kind = camera_type(self.style.projection, self.style.stereo)
            saved = dataclasses.replace(path.path, camera_type=kind)
            paths.write_path(options.save_path, saved, scenes[0], size=self.frame_size(path.path))
        style = self.metric(scenes[0]) if is_metric(runs[0]) else self.style
        style = dataclasses.replace(style, sweeps=max(1, round(len(path.cameras) / path.fps / SWEEP)))
        cameras = self.cameras(path, style)
        models = [run.model(options.device, options.backend, scene) for run, scene in zip(runs, scenes, strict=True)]
        sources = [Source(*parts) for parts in zip(models, scenes, labels(runs), strict=True)]
        drawing = assembled(sources, style, cameras)
        prints = [checkpoint.fingerprint(run.checkpoints) for run in runs]
        request = Request.of(cameras, {"style": dataclasses.asdict(style), "models": prints, "labels": labels(runs)})
        made = self.outputs(out, scenes[0], self.look(drawing, cameras), request, path.fps)
        width, height = frame_size(cameras, style, len(runs))
        at_once = writing.frames_at_once(models, width * height * style.samples**2)
        if not self.stills and not sequence.is_sequence(out):
            width, height = width + width % 2, height + height % 2  # as video encoders need it
        drawn = writing.write(drawing, cameras, made, console.progress, at_once)
        return {
            "frames": len(cameras),
            "rendered": drawn,
            "width": width,
            "height": height,
            "files": [str(file) for file in interleaved([output.files for output in made])],
        }

    def metric(self, scene: Scene) -> Style:
        """The style, where a unit of the scene's world is a metre."""
        scale, given = scene.scene_from_world.scale, self.style.eye_distance
        return dataclasses.replace(
            self.style, metric_scale=scale, eye_distance=None if given is None else given * scale
        )

    def frame_size(self, path: CameraPath) -> tuple[int, int] | None:
        """The size of an eye's picture, where it isn't that of the path's cameras."""
        if self.size is not None or self.style.projection not in SIZES:
            return self.size
        own = path.size if PROJECTIONS[path.camera_type] in SPANS else None
        return own or SIZES[self.style.projection]

    def cameras(self, made: Made, style: Style) -> Cameras:
        """The path's cameras, at the size and in the number that are drawn."""
        frames = placed(made.cameras, style, self.frame_size(made.path))
        if not self.options.preview:
            return frames
        shrink = max(2, round(max(frames.width, frames.height) / PREVIEW_SIDE))
        width, height = (max(2, side // shrink // 2 * 2) for side in (frames.width, frames.height))
        small = resize(frames, width, height)
        return small if self.stills else small[::2]

    def look(self, drawing: Draw, cameras: Cameras) -> Look:
        colored = "depth" in self.channels and not self.exr
        limits = probe_depth(drawing, cameras) if colored else None
        return Look(self.channels, self.style.background == "transparent", limits, self.options.bits)

    def outputs(self, out: Path, scene: Scene, look: Look, request: Request, fps: float) -> list[writing.Output]:
        if self.stills:
            names = [scene.views[index].name for index in paths.held_out_indices(scene)]
            return outputs.of_stills(out, names, look)
        return outputs.of_path(out, look, request, fps / 2 if self.options.preview else fps, self.finishing(out))

    def finishing(self, out: Path) -> Callable[[Path], None] | None:
        """Tells players of an MP4 that it is stereo or a panorama."""
        layout, degrees = self.style.stereo, self.style.degrees
        if out.suffix.lower() != ".mp4" or (layout is None and degrees is None):
            return None
        return functools.partial(spherical.mark, layout=layout, degrees=degrees, named=out)


def style_of(options: Options, background: Background, kind: CameraType = "perspective") -> Style:
    """The style that options ask for, along a path for a kind of camera.

    Raises:
        NerfkitError: an option out of its range, or that doesn't go with another one.
    """
    boxes.check(options.crop)
    if options.camera not in ("auto", "pinhole") and options.path == "held-out":
        raise NerfkitError(f"--camera {options.camera} --path held-out: stills are as the photos are; use another path")
    projection, layout = wanted_camera(options, kind)
    return Style(
        background=background,
        crop=options.crop,
        samples=1 if options.preview else options.samples,
        show_cameras=options.show_cameras,
        projection=projection,
        stereo=layout,
        eye_distance=options.eye_distance,
        comparison=options.compare,
    )


def wanted_camera(options: Options, kind: CameraType) -> tuple[Projection, Layout | None]:
    """The projection and the layout of two eyes: what the options say, else what the path's kind of camera does.

    Raises NerfkitError: VR180 over-under, which no player knows.
    """
    own, own_layout = PROJECTIONS[kind], LAYOUTS.get(kind)
    projection: Projection = own if options.camera == "auto" else options.camera
    if projection == "vr180":
        if options.stereo == "over-under":
            raise NerfkitError("--stereo over-under: VR180 has its eyes side by side; leave --stereo out")
        return projection, "side-by-side"
    if options.stereo == "auto":
        return projection, own_layout if projection == own else None
    if options.stereo == "on":
        return projection, "over-under" if projection == "equirect" else "side-by-side"
    return projection, None if options.stereo == "none" else options.stereo


def camera_type(projection: Projection, layout: Layout | None) -> CameraType:
    """nerfstudio's word for pictures; for flat ones there is none that says that there are two of them."""
    if projection == "equirect":
        return "equirectangular" if layout is None else "omnidirectional"
    return next(kind for kind, own in PROJECTIONS.items() if own == projection)


def labels(runs: list[Run]) -> list[str]:
    """The shortest ends of the runs' paths that tell them apart."""
    return compare.labels([run.path.resolve() for run in runs])


def interleaved(lists: list[list[Any]]) -> list[Any]:
    """The first of each list, then the second of each…"""
    longest = max(len(items) for items in lists)
    return [items[index] for index in range(longest) for items in lists if index < len(items)]


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
