"""``nerfkit view``: a run, a splat file or a scene, live in the browser."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from nerfkit.limits import Port

if TYPE_CHECKING:
    from nerfkit.cli.console import Console


@dataclass
class Options:
    subject: tyro.conf.Positional[Path]
    """A run's folder, a splat file of any format that `nerfkit convert` reads, or a scene with poses (its photos'
    cameras and points are shown)."""
    host: str | None = None
    """Address of this machine to be reached at from others, such as 0.0.0.0: whoever has the printed URL, with its
    token, may look (default: this machine only)."""
    port: Port | None = None
    """Port to listen at (default: the first free one from 7007 on)."""
    up: Literal["+z", "-z", "+y", "-y", "+x", "-x", "z", "y", "x"] | None = None
    """The axis that points up; z is +z (default: what a splat file says, as those of nerfkit do, else -y, as in most
    others; +z of runs, scenes and glTF). .spz, .splat and .ksplat files can't say it: those that nerfkit exports have
    z. The page has it, too."""
    device: str = "auto"
    """Where the model is rendered: auto, cpu, cuda or cuda:N (see nerfkit train)."""
    backend: str = "auto"
    """Render core: auto, nerfkit, gsplat, tcnn or reference (see nerfkit doctor)."""


def run(options: Options, console: Console) -> dict[str, Any]:
    from nerfkit.viewer.requirements import require_viser

    require_viser()  # before a model is loaded
    from nerfkit.viewer.subject import open_subject, too_many
    from nerfkit.viewer.viewer import Viewer

    subject = open_subject(options.subject, options.device, options.backend, signed(options.up))
    if words := too_many(options.subject, subject):
        console.warn(words)
    viewer = Viewer(subject, options.host, options.port)
    with viewer, contextlib.suppress(KeyboardInterrupt):  # the ordinary end
        announce(viewer, console)
        console.say("Ctrl-C ends it.")
        while True:
            time.sleep(3600)
    return {"subject": str(options.subject), "url": viewer.url}


def signed(axis: str | None) -> str | None:
    """An axis with its sign: what ``convert`` calls z is +z here."""
    return f"+{axis}" if axis in ("x", "y", "z") else axis


def announce(viewer: Any, console: Console) -> None:
    """Where to look: needed even with --quiet, as nobody could guess the port and the token."""
    console.close_bars()
    console.rich.print(f"[bold]{viewer.subject.name}[/]: open {viewer.url}", soft_wrap=True)
