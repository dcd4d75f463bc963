"""A page of scenes: a still of each, which leads to the page of the scene beside it."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from nerfkit.errors import NerfkitError
from nerfkit.webpage import asset, document, text
from nerfkit.webpage.scene import GENERATOR

INDEX = "index.html"
_MARK = '<main class="gallery">'


@dataclass(frozen=True)
class Entry:
    """A scene of a gallery."""

    file: str  # name of its page, beside the gallery's
    title: str
    words: str  # a line about it
    still: bytes  # a JPEG


def page(title: str, entries: Sequence[Entry]) -> str:
    """The gallery's own page."""
    cards = "\n".join(
        f'<a class="card" href="{text(quote(entry.file))}">'
        f'<img alt="" loading="lazy" src="data:image/jpeg;base64,{base64.b64encode(entry.still).decode("ascii")}">'
        f"<h2>{text(entry.title)}</h2><p>{text(entry.words)}</p></a>"
        for entry in entries
    )
    body = f"<header><h1>{text(title)}</h1></header>\n{_MARK}\n{cards}\n</main>"
    return document(title, body, [asset("nerfkit.webpage", "gallery.css")])


def file_names(titles: Iterable[str]) -> list[str]:
    """Names of pages for scenes of these titles: plain letters, none twice, none the gallery's own."""
    names: list[str] = []
    for title in titles:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-.") or "scene"
        name, count = f"{plain}.html", 1
        while name.lower() in {INDEX, *(taken.lower() for taken in names)}:
            count += 1
            name = f"{plain}-{count}.html"
        names.append(name)
    return names


def check_free(folder: Path, files: Sequence[str]) -> None:
    """Raises NerfkitError: no folder, or files of these names, or an index page, that nerfkit didn't write."""
    if folder.exists() and not folder.is_dir():
        raise NerfkitError(f"{folder}: is a file; several runs become a gallery, so give a folder as --out")
    for path, mark in [(folder / INDEX, _MARK), *((folder / name, GENERATOR) for name in files)]:
        if path.exists() and mark not in path.read_text(encoding="utf-8", errors="replace"):
            raise NerfkitError(f"{path}: is there and is no page of a gallery; choose another folder as --out")
