"""Whose an output folder is: a mark in its cache names the photos that its poses are of."""

from __future__ import annotations

import json
import os
from pathlib import Path

from nerfkit.errors import NerfkitError
from nerfkit.files import write_text
from nerfkit.poses.stage import VERSION

MARK = "nerfkit-poses.json"  # in .cache: the folder is ours


def claim(out: Path, source: Path) -> None:
    """Takes ``out`` for the poses of the photos in ``source``.

    Raises:
        NerfkitError: ``out`` is a file, holds other things, or the poses of other photos.
    """
    mark = out / ".cache" / MARK
    origin = _origin(source, out)
    if mark.is_file():
        known = json.loads(mark.read_text()).get("photos")
        if known != origin:
            raise NerfkitError(f"{out}: holds the poses of other photos ({known}, not {source}); choose another --out")
        return
    if out.exists() and not out.is_dir():
        raise NerfkitError(f"{out}: is a file; choose a folder for --out")
    if out.is_dir() and any(out.iterdir()):
        raise NerfkitError(f"{out}: exists and holds other files; choose another --out or empty it")
    write_text(mark, json.dumps({"format": "nerfkit-poses", "version": VERSION, "photos": origin}) + "\n", named=out)


def _origin(source: Path, out: Path) -> str:
    """Relative, so that photos and poses can be moved together."""
    try:
        return Path(os.path.relpath(source.resolve(), out.resolve())).as_posix()
    except ValueError:  # another drive
        return source.resolve().as_posix()
