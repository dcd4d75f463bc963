"""Whose an output folder is: a mark in its cache names the photos that its poses are of."""

from __future__ import annotations

import json
import os
from pathlib import Path

from nerfkit.capture.walk import shown
from nerfkit.errors import NerfkitError
from nerfkit.files import check_place, write_text
from nerfkit.poses.stage import VERSION

MARK = "nerfkit-poses.json"  # in .cache: the folder is ours


def claim(out: Path, source: Path) -> None:
    """Takes ``out`` for the poses of the photos in ``source``.

    Raises:
        NerfkitError: ``out`` is a file, holds other things, or the poses of other photos; it can't be written; a path
            that isn't UTF-8.
    """
    for path in (source, out):
        _check_name(path)
    mark = out / ".cache" / MARK
    origin = _origin(source, out)
    if mark.is_file():
        known = _photos_of(mark)
        if known == origin:
            check_place(mark, out)  # nothing has been written to it yet
            return
        if known is not None:
            raise NerfkitError(f"{out}: holds the poses of other photos ({known}, not {source}); choose another --out")
    elif out.exists() and not out.is_dir():
        raise NerfkitError(f"{out}: is a file; choose a folder for --out")
    elif out.is_dir() and _holds_others(out):
        raise NerfkitError(f"{out}: exists and holds other files; choose another --out or empty it")
    write_text(mark, json.dumps({"format": "nerfkit-poses", "version": VERSION, "photos": origin}) + "\n", named=out)


def photos_of(out: Path) -> Path | None:
    """The folder of photos, or the video, that the poses in ``out`` are of; None where nothing says it, or it has
    moved."""
    known = _photos_of(out / ".cache" / MARK)
    place = None if known is None else (out / known).resolve()
    return place if place is not None and place.exists() else None


def _photos_of(mark: Path) -> str | None:
    """None: no mark, or a damaged one, as by a power cut. All else in the cache tells by itself whose it is."""
    try:
        return str(json.loads(mark.read_text())["photos"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _holds_others(out: Path) -> bool:
    """More than the empty cache that a command leaves which had no space for its mark."""
    return any(entry.name != ".cache" or not entry.is_dir() or any(entry.iterdir()) for entry in out.iterdir())


def _check_name(path: Path) -> None:
    """Photos' odd names are cleaned where they are copied; the folders they lie in are the user's."""
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError:
        raise NerfkitError(
            f"{shown(path.resolve())}: its path has a name that isn't UTF-8, as COLMAP needs; rename that folder"
        ) from None


def _origin(source: Path, out: Path) -> str:
    """Relative, so that photos and poses can be moved together."""
    try:
        return Path(os.path.relpath(source.resolve(), out.resolve())).as_posix()
    except ValueError:  # another drive
        return source.resolve().as_posix()
