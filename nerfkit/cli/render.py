"""``nerfkit render``: videos along camera paths, and stills of the held-out photos."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import tyro

from nerfkit.errors import NerfkitError

if TYPE_CHECKING:
    from nerfkit.cli.console import Console
    from nerfkit.contracts import Channel, SceneModel
    from nerfkit.data.scene import Scene

_Channel = Literal["rgb", "depth", "normal", "alpha"]


@dataclass(frozen=True, kw_only=True)
class Options:
    run: tyro.conf.Positional[Path]
    """Run folder, as `nerfkit train` leaves it."""
    path: Literal["orbit", "interpolate", "held-out"] = "orbit"
    """orbit: around the subject; interpolate: through the photos; held-out: stills of the photos not trained on."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Video to write (.mp4), or folder of stills. By default renders/PATH.mp4 or renders/held-out in the run folder."""
    channels: str = "rgb"
    """What to draw, comma-separated: rgb, depth, normal, alpha. Each but rgb gets a file of its own: out.depth.mp4."""
    size: str | None = None
    """Size of the pictures, such as 1280x720 (default: that of the training photos)."""
    fps: float = 30.0
    """Frames a second."""
    seconds: float = 6.0
    """Length of the video."""
    device: str = "auto"
    """Where to render: auto, cpu or cuda."""
    backend: str = "auto"
    """Render core."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.train.run import Run

    channels, size = parse_channels(options.channels), parse_size(options.size)
    if options.fps <= 0 or options.seconds <= 0:
        raise NerfkitError("--fps and --seconds must be greater than 0")
    source = Run.open(options.run)
    name = "held-out" if options.path == "held-out" else f"{options.path}.mp4"
    out = options.out or source.renders / name
    scene = source.scene()
    model = source.model(options.device, options.backend, scene)
    start = time.perf_counter()
    if options.path == "held-out":
        files = stills(model, scene, out, channels, console)
    else:
        files = video(model, scene, out, channels, size, options, console)
    seconds = time.perf_counter() - start
    console.say(f"[bold]{out}[/]: {len(files)} file{'s' * (len(files) != 1)} in {seconds:.1f} s")
    return {"files": [str(file) for file in files], "seconds": round(seconds, 2)}


def video(
    model: SceneModel, scene: Scene, out: Path, channels: Sequence[Channel], size: tuple[int, int] | None,
    options: Options, console: Console,
) -> list[Path]:  # fmt: skip
    """One video a channel, all rendered in one go."""
    from nerfkit.views import paths
    from nerfkit.views.frames import render_frames
    from nerfkit.views.video import check_suffix, writer

    check_suffix(out)
    frames = max(1, round(options.fps * options.seconds))
    cameras = (paths.orbit if options.path == "orbit" else paths.interpolate)(scene, frames, size)
    files = {channel: channel_file(out, channel) for channel in channels}
    with ExitStack() as stack:
        sinks = {channel: stack.enter_context(writer(file, options.fps)) for channel, file in files.items()}
        for frame in render_frames(model, cameras, channels, console.progress):
            for channel, picture in frame.items():
                sinks[channel](picture)
    return list(files.values())


def stills(model: SceneModel, scene: Scene, folder: Path, channels: Sequence[Channel], console: Console) -> list[Path]:
    """A PNG for each held-out photo and channel."""
    from nerfkit.views.frames import render_frames
    from nerfkit.views.video import write_still

    views = [scene.views[index] for index in scene.held_out]
    if not views:
        raise NerfkitError("the run holds out no photos; render --path orbit or interpolate instead")
    files = []
    for view, frame in zip(views, render_frames(model, [view.camera for view in views], channels, console.progress)):
        for channel, picture in frame.items():
            files.append(channel_file(folder / f"{view.name}.png", channel))
            write_still(files[-1], picture)
    return files


def channel_file(path: Path, channel: str) -> Path:
    """``out.mp4`` for rgb, ``out.depth.mp4`` for depth."""
    return path if channel == "rgb" else path.with_name(f"{path.stem}.{channel}{path.suffix}")


def parse_channels(text: str) -> list[Channel]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in get_args(_Channel):
            raise NerfkitError(f"--channels {name}: no such channel; choose from {', '.join(get_args(_Channel))}")
    if not names:
        raise NerfkitError(f"--channels is empty; choose from {', '.join(get_args(_Channel))}")
    return list(dict.fromkeys(names))  # type: ignore[arg-type]


def parse_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip())
    if match is None or min(int(match[1]), int(match[2])) < 2:
        raise NerfkitError(f"--size {text}: not a size; write it like 1280x720")
    return int(match[1]), int(match[2])
