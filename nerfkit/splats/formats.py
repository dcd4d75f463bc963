"""Splat files by their suffixes: which module reads and writes each, and in which frame.

All formats but glTF have the coordinates of the PLY beside them, as splat-transform and the web viewers read them; glTF
has +Y up. :mod:`nerfkit.splats.upright` has which axis of the Gaussians that is.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.files import check_place, is_page
from nerfkit.splats import upright
from nerfkit.splats.stream import Splats, changed, load, stream
from nerfkit.splats.upright import USUAL, Up

log = logging.getLogger("nerfkit")

MODULES = {
    ".compressed.ply": "compressed_ply", ".ply": "ply", ".splat": "antimatter", ".spz": "spz", ".ksplat": "ksplat",
    ".sog": "sog", ".glb": "gltf", ".gltf": "gltf",
}  # fmt: skip
WRITTEN = (".ply", ".compressed.ply", ".splat", ".spz", ".sog", ".glb")
SAYING = (".ply", ".compressed.ply", ".sog")  # that can say which axis is up
SAYING_ANTIALIASED = (*SAYING, ".spz")


def suffix_of(path: Path) -> str:
    """Raises NerfkitError: a suffix of no splat format."""
    if path.name.lower() == "meta.json" or (path / "meta.json").is_file():  # SOG as a folder
        return ".sog"
    if suffix := _known_suffix(path):
        return suffix
    if (path / "config.toml").is_file():
        raise NerfkitError(f"{path}: is a run, not a splat file; nerfkit export writes its splats")
    if path.is_dir():
        raise NerfkitError(f"{path}: is a folder without the meta.json of SOG; name a splat file")
    if is_page(path):
        raise NerfkitError(f"{path}: pages are written, not read; take the run or the file that it was made from")
    raise NerfkitError(f"{path}: no splat format has this suffix; known are {', '.join(MODULES)}")


def _known_suffix(path: Path) -> str | None:
    return next((known for known in MODULES if path.name.lower().endswith(known)), None)


def open_file(path: Path, *, up: Up = USUAL) -> Splats:
    """Opens a splat file of any known format; its Gaussians are read when they are asked for.

    Args:
        up: the axis that shall be up, for formats that say which one is (glTF).

    Raises:
        NerfkitError: no such file, an unknown suffix, or files that are wrong.
    """
    splats: Splats = _asked(path, "open_file")
    return _turned(splats, up, back=True) if is_upright(path) else splats


def read(path: Path, *, up: Up = USUAL) -> Gaussians:
    """All Gaussians of a splat file: :func:`open_file`, and what it raises."""
    return load(open_file(path, up=up))


def is_upright(path: Path) -> bool:
    """Whether a file is of a format that has an up of its own (glTF)."""
    return MODULES[suffix_of(path)] == "gltf"


def says_up(path: Path) -> bool:
    """Whether a file is of a format that can say which axis is up (glTF always has its own)."""
    return suffix_of(path) in SAYING


def said_up(path: Path) -> Up | None:
    """Which axis is up by a splat file's own word; None: it has none, or is of a format with an up of its own.

    Raises:
        NerfkitError: as :func:`open_file`.
    """
    return _asked(path, "said_up") if suffix_of(path) in SAYING else None


def agreed_up(paths: Sequence[Path]) -> Up | None:
    """Which axis is up by the word of those files that have one; None: none has.

    Raises:
        NerfkitError: they disagree, or as :func:`open_file`.
    """
    said = {path: word for path in paths if (word := said_up(path)) is not None}
    if len(set(said.values())) > 1:
        told = ", ".join(f"{word} in {path}" for path, word in said.items())
        raise NerfkitError(f"the files disagree about which axis is up ({told}); turn one with --rotate, or give --up")
    return next(iter(said.values()), None)


def _asked(path: Path, what: str) -> Any:
    """What a function of a file's format gives for it. Raises NerfkitError: as :func:`open_file`."""
    module = _module(suffix_of(path))
    if not path.is_file() and not (path / "meta.json").is_file():
        raise NerfkitError(f"{path}: {'is a folder, not a splat file' if path.is_dir() else 'no such file'}")
    try:
        return getattr(module, what)(path)
    except OSError as error:
        raise NerfkitError(f"{path}: cannot be read ({error.strerror or error})") from None


def write(
    path: Path, gaussians: Gaussians | Splats, *, up: Up | None = None, settings: Mapping[str, Any] | None = None
) -> int:
    """Writes a splat file of the format that the suffix names, atomically.

    SH bands that the format doesn't hold are left out, and that is said.

    Args:
        up: the axis of the Gaussians that is up: files that can say it do, and glTF is turned by it. None: it isn't
            known, and taken to be the usual one for glTF.
        settings: what the format's own ``write`` takes beside the Gaussians.

    Returns:
        how many Gaussians were written.

    Raises:
        NerfkitError: an unknown suffix, a format that is only read, or the file cannot be written.
    """
    suffix = check_written(path)
    module, splats = _module(suffix), stream(gaussians)
    if splats.degree > module.MAX_DEGREE:
        log.warning("%s: %s files hold no view-dependent colours: those are left out", path, suffix)
        splats = of_degree(splats, module.MAX_DEGREE)
    if splats.antialiased and suffix not in SAYING_ANTIALIASED:
        told = "%s: %s files can't say that their Gaussians are antialiased: small ones will look larger in viewers; %s"
        log.warning(told, path, suffix, "write one of " + ", ".join(SAYING_ANTIALIASED))
    if suffix == ".glb":
        splats = _turned(splats, up or USUAL, back=False)
    word = {"up": up} if suffix in SAYING else {}
    return int(module.write(path, splats, **word, **(settings or {})))


def check_written(path: Path) -> str:
    """The suffix. Raises NerfkitError: an unknown one, one of a format that is only read, or a folder."""
    check_no_folder(path)
    choose = f"choose one of {', '.join(WRITTEN)}, .html"
    suffix = _known_suffix(path)
    if path.name.lower() == "meta.json":
        raise NerfkitError(f"{path}: SOG is read but not written as a folder; {choose}")
    if suffix is None:
        raise NerfkitError(f"{path}: no splat format has this suffix; {choose} (nerfkit mesh writes meshes)")
    if suffix not in WRITTEN:
        raise NerfkitError(f"{path}: {suffix} files are read but not written; {choose}")
    return suffix


def check_no_folder(path: Path) -> None:
    """Raises NerfkitError: a file that is to be written is a folder, or lies where nothing can be written."""
    if path.is_dir():
        raise NerfkitError(f"{path}: is a folder; name the file to write, such as {path / 'splats.spz'}")
    check_place(path)


def max_degree(suffix: str) -> int:
    """The highest SH degree that a format holds."""
    return int(_module(suffix).MAX_DEGREE)


def with_degree(gaussians: Gaussians, degree: int) -> Gaussians:
    """The Gaussians without the SH bands above a degree."""
    g = gaussians
    kept = min((degree + 1) ** 2, g.sh.shape[1])
    return dataclasses.replace(g, sh=g.sh[:, :kept].contiguous())


def of_degree(splats: Splats, degree: int) -> Splats:
    """A stream without the SH bands above a degree."""
    return changed(splats, lambda g: with_degree(g, degree), degree=min(degree, splats.degree))


def _module(suffix: str) -> Any:
    return importlib.import_module(f"nerfkit.splats.{MODULES[suffix]}")


def _turned(splats: Splats, up: Up, *, back: bool) -> Splats:
    from nerfkit.splats.transform import transform

    turned = upright.turn(up).inverse() if back else upright.turn(up)
    return changed(splats, lambda g: transform(g, turned))
