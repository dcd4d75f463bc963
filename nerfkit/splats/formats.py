"""Splat files by their suffixes: which module reads and writes each, and in which frame.

All formats but glTF have the coordinates of the PLY beside them, as splat-transform and the web viewers read them; glTF
has +Y up. :data:`Up` says which axis of the Gaussians that is.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from nerfkit.contracts import Gaussians
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.splats.stream import Changed, Splats, load, stream

log = logging.getLogger("nerfkit")

Up = Literal["z", "y", "-y"]

MODULES = {
    ".compressed.ply": "compressed_ply", ".ply": "ply", ".splat": "antimatter", ".spz": "spz", ".ksplat": "ksplat",
    ".sog": "sog", ".glb": "gltf", ".gltf": "gltf",
}  # fmt: skip
WRITTEN = (".ply", ".compressed.ply", ".splat", ".spz", ".sog", ".glb")
_TURNS = {  # glTF's frame from one whose up is that axis: half turns about Z as PlayCanvas does, or a quarter about X
    "z": [[1.0, 0, 0], [0, 0, 1], [0, -1, 0]],
    "y": [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]],
    "-y": [[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]],
}


def suffix_of(path: Path) -> str:
    """Raises NerfkitError: a suffix of no splat format."""
    if path.name.lower() == "meta.json" or (path / "meta.json").is_file():  # SOG as a folder
        return ".sog"
    if suffix := _known_suffix(path):
        return suffix
    if path.is_dir():
        raise NerfkitError(f"{path}: is a folder without the meta.json of SOG; name a splat file")
    raise NerfkitError(f"{path}: no splat format has this suffix; known are {', '.join(MODULES)}")


def _known_suffix(path: Path) -> str | None:
    return next((known for known in MODULES if path.name.lower().endswith(known)), None)


def open_file(path: Path, *, up: Up = "-y") -> Splats:
    """Opens a splat file of any known format; its Gaussians are read when they are asked for.

    Args:
        up: the axis that shall be up, for formats that say which one is (glTF).

    Raises:
        NerfkitError: no such file, an unknown suffix, or files that are wrong.
    """
    suffix = suffix_of(path)
    if not path.is_file() and not (path / "meta.json").is_file():
        raise NerfkitError(f"{path}: {'is a folder, not a splat file' if path.is_dir() else 'no such file'}")
    try:
        splats: Splats = _module(suffix).open_file(path)
    except OSError as error:
        raise NerfkitError(f"{path}: cannot be read ({error.strerror or error})") from None
    return _turned(splats, up, back=True) if MODULES[suffix] == "gltf" else splats


def read(path: Path, *, up: Up = "-y") -> Gaussians:
    """All Gaussians of a splat file: :func:`open_file`, and what it raises."""
    return load(open_file(path, up=up))


def write(
    path: Path, gaussians: Gaussians | Splats, *, up: Up = "-y", settings: Mapping[str, Any] | None = None
) -> int:
    """Writes a splat file of the format that the suffix names, atomically.

    SH bands that the format doesn't hold are left out, and that is said.

    Args:
        up: the axis of the Gaussians that is up, for formats that say which one is (glTF).
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
    return int(module.write(path, _turned(splats, up, back=False) if suffix == ".glb" else splats, **(settings or {})))


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
    """Raises NerfkitError: a file that is to be written is a folder."""
    if path.is_dir():
        raise NerfkitError(f"{path}: is a folder; name the file to write, such as {path / 'splats.spz'}")


def max_degree(suffix: str) -> int:
    """The highest SH degree that a format holds."""
    return int(_module(suffix).MAX_DEGREE)


def with_degree(gaussians: Gaussians, degree: int) -> Gaussians:
    """The Gaussians without the SH bands above a degree."""
    g = gaussians
    kept = min((degree + 1) ** 2, g.sh.shape[1])
    return Gaussians(g.means, g.quats, g.scales, g.opacities, g.sh[:, :kept].contiguous())


def of_degree(splats: Splats, degree: int) -> Splats:
    """A stream without the SH bands above a degree."""
    return Changed(splats, lambda g: with_degree(g, degree), min(degree, splats.degree))


def turn(up: Up) -> Similarity:
    """glTF's frame, +Y up, from one whose up is that axis."""
    return Similarity(1.0, torch.tensor(_TURNS[up], dtype=torch.float64), torch.zeros(3, dtype=torch.float64))


def _module(suffix: str) -> Any:
    return importlib.import_module(f"nerfkit.splats.{MODULES[suffix]}")


def _turned(splats: Splats, up: Up, *, back: bool) -> Splats:
    from nerfkit.splats.transform import transform

    turned = turn(up).inverse() if back else turn(up)
    return Changed(splats, lambda g: transform(g, turned), splats.degree)
