"""Pages of HTML that are whole in one file and need no network: what those of runs and of poses share."""

from __future__ import annotations

import html
from collections.abc import Sequence
from importlib import resources


def document(title: str, body: str, styles: Sequence[str] = (), scripts: Sequence[str] = ()) -> str:
    """A page in the common look (``base.css``), with more style sheets and scripts of its own, all embedded."""
    look = "\n".join([asset(__name__, "base.css"), *styles])
    code = "".join(f"<script>\n{script}</script>\n" for script in scripts)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{text(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{look}</style>\n</head>\n<body>\n{body}\n{code}</body>\n</html>\n"
    )


def asset(package: str, name: str) -> str:
    """A text file that lies beside a module."""
    return resources.files(package).joinpath(name).read_text(encoding="utf-8")


def text(words: str) -> str:
    """Words as HTML; a file name may hold what is no Unicode."""
    return html.escape(words.encode("utf-8", "replace").decode())


def tiles(shown: Sequence[tuple[str, str, str]]) -> str:
    """A row of large figures: name, value, unit."""
    cells = [
        f'<div class="card tile"><b>{text(value)}{f" <small>{unit}</small>" if unit else ""}</b>'
        f"<span>{text(name)}</span></div>"
        for name, value, unit in shown
    ]
    return f'<section class="tiles">{"".join(cells)}</section>' if cells else ""


def duration(seconds: float) -> tuple[str, str]:
    """Seconds as a number and its unit for people."""
    if seconds < 100:
        return f"{seconds:.1f}", "s"
    minutes = round(seconds) // 60
    if minutes < 60:
        return f"{minutes}:{round(seconds) % 60:02d}", "min"
    return f"{minutes // 60}:{minutes % 60:02d}", "h"
