"""A page that shows splats in any browser: the viewer, the splats and a still in one file that needs no network.

The viewer is PlayCanvas' SuperSplat Viewer (MIT), bundled by ``scripts/vendor_viewer.py``. ``scene.js`` unpacks it and
hands it what :class:`ScenePage` says. Its frame is glTF's: +Y up, right-handed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from nerfkit.errors import NerfkitError
from nerfkit.webpage import asset, text

Point = tuple[float, float, float]

GENERATOR = '<meta name="generator" content="nerfkit">'  # in every page of a scene
_HERE = "nerfkit.webpage"


@dataclass(frozen=True)
class Look:
    """Where a camera stands, and what it looks at."""

    position: Point
    target: Point


@dataclass(frozen=True)
class ScenePage:
    """What is on a page. Everything lies in the viewer's frame: +Y up.

    ``sog`` is the file of the splats, in the frame of PLY files, whose -Y is the viewer's +Y, and whose X is its -X.
    """

    title: str
    sog: bytes
    still: bytes  # a JPEG of the first camera, shown while the page loads and where there is no WebGL 2
    background: Point  # sRGB, 0 to 1
    path: Sequence[Look]  # a closed path at a constant speed; it starts at the first
    angle: float  # degrees across the shorter side of a picture
    seconds: float = 24.0  # of a turn of the path
    plays: bool = False  # starts moving by itself
    antialiased: bool = False  # how the splats are drawn

    def html(self) -> str:
        """The page. Raises NerfkitError: this installation of nerfkit is without the viewer."""
        told = {
            "background": self.background,
            "angle": self.angle,
            "seconds": self.seconds,
            "plays": self.plays,
            "antialiased": self.antialiased,
            "positions": [number for look in self.path for number in look.position],
            "targets": [number for look in self.path for number in look.target],
        }
        license = _vendored("viewer.license.txt").decode().replace("--", "- -")
        color = "".join(f"{round(255 * min(max(part, 0.0), 1.0)):02x}" for part in self.background)
        return (
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{text(self.title)}</title>\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">\n'
            f"{GENERATOR}\n<!--\nThe viewer in this page:\n\n{text(license)}-->\n"
            f"<style>\n{_vendored('viewer.css').decode()}\n:root {{ --behind: #{color}; }}\n"
            f"{asset(_HERE, 'scene.css')}</style>\n</head>\n<body>\n"
            f'<img id="still" alt="" src="data:image/jpeg;base64,{_base64(self.still)}">\n'
            f'<main id="scene"></main>\n<h1 id="title">{text(self.title)}</h1>\n'
            '<p id="fault" role="alert" hidden></p>\n'
            "<noscript><p>This page shows a 3D scene, which needs JavaScript.</p></noscript>\n"
            f'<script type="application/json" id="told">{in_script(told)}</script>\n'
            f'<script type="text/plain" id="splats">{_base64(self.sog)}</script>\n'
            f'<script type="text/plain" id="viewer">{_base64(_vendored("viewer.js.gz"))}</script>\n'
            f"<script>\n{asset(_HERE, 'scene.js')}</script>\n</body>\n</html>\n"
        )

    def size(self) -> int:
        """Bytes of the page."""
        return len(self.html().encode())


def in_script(data: object) -> str:
    """JSON that may stand in a script element, whatever words are in it: it holds no ``<``."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


def check_viewer() -> None:
    """Raises NerfkitError: this installation of nerfkit is without the viewer, so no page can be written."""
    for name in ("viewer.css", "viewer.js.gz", "viewer.license.txt"):
        _vendored(name)


def _vendored(name: str) -> bytes:
    """One of the files that ``scripts/vendor_viewer.py`` makes."""
    try:
        return resources.files(_HERE).joinpath("assets", name).read_bytes()
    except OSError:
        raise NerfkitError(
            f"nerfkit/webpage/assets/{name}: is missing, so no page with a viewer can be written; "
            "install nerfkit again, or run scripts/vendor_viewer.py in its repository"
        ) from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
