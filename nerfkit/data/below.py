"""Photos of another folder than a format says, which may have other folders around or between them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nerfkit.data.raw import PHOTO_SUFFIXES, other_cases
from nerfkit.errors import NerfkitError


@dataclass(frozen=True)
class _Found:
    parts: tuple[str, ...]  # of the path below the folder
    suffix: str  # that the name lacks; empty: it has one


def photos_below(names: Sequence[str], folder: Path) -> list[Path]:
    """For each name of a photo the file below ``folder`` whose path has the longest end in common with it.

    Names may be paths of another machine or of Windows; one without suffix gets that of a photo which is there, and a
    suffix may be in the other case. Of
    equally long ends the file in the fewest folders counts. A file belongs to the name it has most in common with: with
    ``a/1.jpg`` and ``b/1.jpg`` and only a file of the first, the second has none. A name without a file gets a path in
    ``folder`` where none is.

    Raises:
        NerfkitError: two files fit a name equally well.
    """
    files = _by_name(folder)
    wanted = [_parts(name) for name in names]
    best = [_best(name, parts, files, folder) for name, parts in zip(names, wanted)]
    most: dict[tuple[str, ...], int] = {}
    for length, file in best:
        most[file] = max(most.get(file, 0), length)
    return [
        folder.joinpath(*(file if length and length == most[file] else parts))
        for parts, (length, file) in zip(wanted, best)
    ]


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))


def _by_name(folder: Path) -> dict[str, list[_Found]]:
    """The files below a folder by their names, photos also by their names without suffix; hidden ones are left out."""
    files: dict[str, list[_Found]] = {}
    for place, inner, found in os.walk(folder):
        inner[:] = [name for name in inner if not name.startswith(".")]
        above = Path(place).relative_to(folder).parts
        for name in found:
            stem, suffix = os.path.splitext(name)
            files.setdefault(name, []).append(_Found((*above, name), ""))
            if suffix.lower() in PHOTO_SUFFIXES:
                files.setdefault(stem, []).append(_Found((*above, name), suffix.lower()))
    return files


def _best(
    name: str, wanted: tuple[str, ...], files: dict[str, list[_Found]], folder: Path
) -> tuple[int, tuple[str, ...]]:
    """The number of folders and names that the file has in common with a name, and its path; 0 where there is none."""
    if not wanted:
        return 0, ()
    if folder.joinpath(*wanted).is_file():  # through links to folders, too, which aren't followed otherwise
        return len(wanted), wanted
    has_suffix = os.path.splitext(wanted[-1])[1].lower() in PHOTO_SUFFIXES
    fitting = [file for file in files.get(wanted[-1], []) if not (has_suffix and file.suffix)]
    if has_suffix:
        fitting += [file for other in other_cases(wanted[-1]) for file in files.get(other, []) if not file.suffix]
    if not fitting:
        return 0, ()

    def rank(file: _Found) -> tuple[int, bool, int]:
        other_case = not file.suffix and file.parts[-1] != wanted[-1]
        return -_common(wanted, file.parts), other_case, len(file.parts)

    first = min(map(rank, fitting))
    equal = [file for file in fitting if rank(file) == first]
    if len({file.parts[:-1] for file in equal}) > 1:
        one, two, *_ = sorted("/".join(file.parts) for file in equal)
        raise NerfkitError(f"{folder}: {one} and {two} could both be {name}; name the folder that is meant by --images")
    kind = {suffix: order for order, suffix in enumerate(("", *PHOTO_SUFFIXES))}
    return -first[0], min(equal, key=lambda file: kind[file.suffix]).parts


def _common(wanted: tuple[str, ...], parts: tuple[str, ...]) -> int:
    """How many parts at the end are the same; the last ones, but for a suffix, are."""
    length = 1
    while length < min(len(wanted), len(parts)) and wanted[-length - 1] == parts[-length - 1]:
        length += 1
    return length
