"""Which files a path of pictures goes into."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfkit.contracts import Channel, Rendering
from nerfkit.errors import NerfkitError
from nerfkit.views import exr, video
from nerfkit.views.color import Limits
from nerfkit.views.draw import Channels
from nerfkit.views.frames import needed_for, pixels
from nerfkit.views.request import Request
from nerfkit.views.segments import Film
from nerfkit.views.sequence import SUFFIXES, Frames, Numbered, Write, is_sequence, pattern_of, write_png
from nerfkit.views.writing import Output

EXR_CHANNELS: tuple[Channel, ...] = ("rgb", "alpha", "depth", "normal")


@dataclass(frozen=True)
class Look:
    """How drawings become pictures."""

    channels: Sequence[Channel]
    transparent: bool = False  # rgb keeps its alpha, where the format has room for it
    limits: Limits | None = None  # of depth's colours
    bits: int | None = None  # a channel: PNG 8 or 16, EXR 16 or 32

    def needed(self, channel: Channel) -> Channels:
        extra: Channels = frozenset({"alpha"}) if self.transparent and channel == "rgb" else frozenset()
        return needed_for([channel]) | extra

    def png(self, channel: Channel) -> Write:
        bits = self.bits or 8
        return lambda path, drawn: write_png(path, pixels(drawn, channel, self.limits, bits, self.transparent))


def check(path: Path, channels: Sequence[Channel], bits: int | None = None) -> None:
    """Raises NerfkitError: a path that no output can be made of, or a depth that its format hasn't."""
    if path.name.lower() in (*video.FORMATS, *SUFFIXES):
        raise NerfkitError(f"{path}: has no name before its suffix; call it out{path.name}")
    kind = pattern_of(path).suffix.lower() if is_sequence(path) else path.suffix.lower()
    allowed = {".png": (8, 16), ".exr": (16, 32)}.get(kind, (8,))
    if bits is not None and bits not in allowed:
        raise NerfkitError(f"--bits {bits}: {kind} has {' or '.join(map(str, allowed))} bits a channel")
    if kind == ".exr":
        exr.require(path)
    elif not is_sequence(path):
        for channel in channels:
            video.check(channel_file(path, channel, channels))


def of_path(
    path: Path, look: Look, request: Request, fps: float, finishing: Callable[[Path], None] | None = None
) -> list[Output]:
    """The outputs for ``path``: a video or PNG sequence for each channel, or one EXR sequence with all of them.

    Args:
        finishing: see :class:`nerfkit.views.segments.Film`.

    Raises:
        NerfkitError: see :func:`check`.
    """
    check(path, look.channels, look.bits)
    base = pattern_of(path) if is_sequence(path) else path
    facts: dict[str, Any] = {"suffix": base.suffix.lower(), "bits": look.bits}
    if base.suffix.lower() == ".exr":
        needed = frozenset().union(*(look.needed(channel) for channel in look.channels))
        part = request.part(channels=sorted(needed), **facts)

        def write(to: Path, drawn: Rendering) -> None:
            exr.write(to, drawn, needed, look.transparent, look.bits or 32)

        return [Numbered(base, part, needed, write)]
    outputs: list[Output] = []
    for channel in look.channels:
        file, needed = channel_file(base, channel, look.channels), look.needed(channel)
        part = request.part(channel=channel, fps=fps, **facts)
        if is_sequence(path):
            outputs.append(Numbered(file, part, needed, look.png(channel)))
        else:
            outputs.append(Film(file, fps, part, needed, _image(look, channel, base), finishing))
    return outputs


def of_stills(folder: Path, names: Sequence[str], look: Look) -> list[Output]:
    """``<name>.png`` in the folder, and ``<name>.<channel>.png`` for channels other than rgb. Other files stay."""
    outputs: list[Output] = []
    for channel in look.channels:
        ending = ".png" if channel == "rgb" else f".{channel}.png"
        outputs.append(Frames([folder / f"{name}{ending}" for name in names], look.needed(channel), look.png(channel)))
    return outputs


def channel_file(out: Path, channel: Channel, channels: Sequence[Channel]) -> Path:
    """``out`` for the only channel or rgb, else ``out`` with the channel before its suffix."""
    return out if len(channels) == 1 or channel == "rgb" else out.with_name(f"{out.stem}.{channel}{out.suffix}")


def _image(look: Look, channel: Channel, path: Path) -> Callable[[Rendering], Any]:
    transparent = look.transparent and video.FORMATS[path.suffix.lower()].alpha
    return lambda drawn: pixels(drawn, channel, look.limits, 8, transparent)
