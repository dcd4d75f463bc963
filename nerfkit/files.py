"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nerfkit.errors import NerfkitError

_PARTIAL = re.compile(r"\.(?P<stem>.*)\.[0-9a-f]{8}\.partial(?P<suffix>(\.[^.]*)?)", re.DOTALL)
_ABANDONED = 60.0  # seconds since it was written to, after which nobody is at work on a picture
_LONGEST = 255  # bytes of a file's name
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EROFS, errno.EPERM)
# Of the output or a folder above it:
_NO_PLACE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)


def link(file: Path, target: Path) -> None:
    """Links a file to ``target``, or copies it where links aren't possible; makes its folder."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(os.path.realpath(file), target)  # a link to a link would lead nowhere from there
    except OSError:
        shutil.copyfile(file, target)


@contextmanager
def atomic(path: Path, named: Path | None = None) -> Iterator[Path]:
    """Gives a path beside ``path`` to write a file or a folder to, and renames it into place at the end.

    The suffix is kept, for writers that choose their format by it. An exception leaves ``path`` as it was.

    Args:
        named: what errors are about, where the user knows nothing of ``path``.

    Raises:
        NerfkitError: no space left (on the device, of a quota, or below a limit of files' sizes), or nothing can be
            written there.
    """
    path = Path(path)
    named = named or path
    partial = _partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        if partial.is_dir() and path.is_dir():
            shutil.rmtree(path)
        os.replace(partial, path)
    except OSError as error:
        if error.errno in _FULL:
            limit = " (a limit of files' sizes: ulimit -f)" if error.errno == errno.EFBIG else ""
            raise NerfkitError(
                f"{named}: no space left to write it{limit}; free some space and run the command again"
            ) from None
        ours = error.filename is not None and Path(os.fsdecode(error.filename)) in (partial, *path.parents)
        if error.errno in _FORBIDDEN or (ours and error.errno in _NO_PLACE):
            raise NerfkitError(
                f"{named}: cannot be written ({cause(path, error)}); choose another output path"
            ) from None
        raise
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            with suppress(OSError):  # there is none, nor can be
                partial.unlink()


def _partial(path: Path) -> Path:
    """A new name beside ``path``, of which less of the stem is left where a system takes no longer names."""
    tail = f".{uuid.uuid4().hex[:8]}.partial{path.suffix}"
    stem = os.fsencode(path.stem)[: max(0, _LONGEST - 1 - len(os.fsencode(tail)))]
    return path.with_name(f".{stem.decode(errors='ignore')}{tail}")


def check_place(path: Path, named: Path | None = None) -> None:
    """For whoever works long before there is something to write: whether a file can be made at the path.

    Args:
        named: what errors are about, where the user knows nothing of ``path``.

    Raises:
        NerfkitError: it is a folder, what is above it is none, or that may not be written to.
    """
    if path.is_dir():
        raise NerfkitError(f"{named or path}: is a folder; name a file to write")
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise NerfkitError(f"{named or path}: {above} is a file, not a folder; choose another output path")
    if not os.access(above, os.W_OK | os.X_OK):
        raise NerfkitError(f"{named or path}: {above} may not be written to; choose another output path")


def is_page(path: Path) -> bool:
    """Whether a file is a web page, by its suffix."""
    return path.suffix.lower() in (".html", ".htm")


def cause(path: Path, error: OSError) -> str:
    """The system's words, but for a file where a folder should be: mkdir says of it that it exists."""
    file = next((parent for parent in path.parents if parent.is_file()), None)
    return f"{file} is a file, not a folder" if file is not None else error.strerror or str(error)


def remove_partials(paths: Iterable[Path], age: float = _ABANDONED) -> None:
    """Removes what :func:`atomic` had begun of files when it was killed, which nothing else would ever remove. What was
    written to just now may be another command's, and stays.

    Args:
        age: seconds since it was written to; 0 is for whoever has locked others out.
    """
    names = {(path.parent, path.stem, path.suffix) for path in paths}
    for folder in {folder for folder, _, _ in names}:
        for partial, stem, suffix in _partials(folder):
            if (folder, stem, suffix) in names:
                _remove(partial, age)


def remove_abandoned(folder: Path, age: float = _ABANDONED) -> None:
    """Removes what :func:`atomic` had begun in a folder, whatever its name, when it was killed.

    Args:
        age: as of :func:`remove_partials`.
    """
    for partial, _, _ in _partials(folder):
        _remove(partial, age)


def _partials(folder: Path) -> Iterator[tuple[Path, str, str]]:
    """What was begun in a folder, with the stem and the suffix of what it was to become."""
    for path in folder.glob(".*.partial*"):
        if found := _PARTIAL.fullmatch(path.name):
            yield path, found["stem"], found["suffix"]


def _remove(partial: Path, age: float) -> None:
    with suppress(OSError):  # it may be gone by now
        if time.time() - partial.stat().st_mtime < age:
            return
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink()


def write_text(path: Path, text: str, named: Path | None = None) -> None:
    """Writes a text file as :func:`atomic` does, in UTF-8 whatever the locale: TOML and our pages are that."""
    with atomic(path, named) as partial:
        partial.write_text(text, encoding="utf-8")
