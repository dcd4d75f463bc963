"""The command line that makes a video of what is shown."""

from __future__ import annotations

import shlex
from pathlib import Path

from nerfkit.viewer.desk import Look


def render_command(run: Path, path: Path, look: Look) -> str:
    """``nerfkit render`` of a camera path's file, with the channel and the crop box that are shown."""
    words = ["nerfkit", "render", str(run), "--path", str(path)]
    if look.channel != "rgb":
        words += ["--channels", look.channel]
    if look.crop is not None:
        words += ["--crop", *(f"{value:.6g}" for value in look.crop)]
    return shlex.join(words)
