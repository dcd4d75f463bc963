"""What was made from a run, for its report: videos, and meshes with their quality cards.

Pictures are embedded. Videos and files are only linked to, since they would make the page heavy: they are found where
the run's folder stays whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2

from nerfkit.train.report import images, tables
from nerfkit.train.run import Run
from nerfkit.webpage import text

_VIDEOS = (".mp4", ".webm")
_STRIP_SIDE = 1600  # pixels of a mesh's strip of stills


def section(run: Run) -> str:
    """Cards of what the folders ``renders`` and ``exports`` hold; nothing where they hold nothing of the kind."""
    cards = [*_videos(run), *_files(run), *_meshes(run)]
    return f'<section><h2>Results</h2><div class="results">{"".join(cards)}</div></section>' if cards else ""


def _videos(run: Run) -> Iterator[str]:
    for path in sorted(run.renders.glob("*")):
        if path.suffix not in _VIDEOS or (still := _first_frame(path)) is None:
            continue
        height, width = still.shape[:2]
        yield (
            f'<div class="card"><div class="head"><h3>{text(path.stem)}</h3>{_link(run, path)}</div>'
            f'<video controls loop muted playsinline preload="none" width="{width}" height="{height}" '
            f'poster="{images.uri(still)}" src="{_address(run, path)}"></video></div>'
        )


def _meshes(run: Run) -> Iterator[str]:
    for path in sorted(run.exports.glob("*.json")):
        card = _card(path)
        strip = images.read(path.with_name(f"{path.stem}_turntable.png"))
        if card is None:
            continue
        picture = ""
        if strip is not None:
            height, width = strip.shape[:2]
            picture = (
                f'<figure><img src="{images.uri(strip, _STRIP_SIDE)}" width="{width}" height="{height}" '
                f'alt="{text(path.stem)} on a turntable, textured and bare"></figure>'
            )
        head = f'<div class="head"><h3>{text(path.stem)}</h3></div>'
        yield f'<div class="card wide">{head}{picture}{tables.rows(card)}</div>'


def _card(path: Path) -> dict[str, Any] | None:
    """The rows of a mesh's quality card; None where a file is no such card."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        low, high = card["bounds"]
        unit = "m" if card["metric"] else "units of the poses"
        error = card["color_error"]
        return {
            "faces": ", ".join(f"{count:,}" for count in card["levels"]),
            "size": " x ".join(f"{b - a:.3g}" for a, b in zip(low, high, strict=True)) + f" {unit}",
            "openings": 0 if card["watertight"] else card["holes"],
            "texture": card["texture_size"] and f"{card['texture_size']} x {card['texture_size']} pixels",
            "distance from the dense surface": f"{card['distance_to_dense_percent']:.3g} % of the diagonal",
            "held-out photos": error and f"{error['mean_error']:.1f} of 255 mean error, {error['psnr']:.1f} dB",
            "collision shapes": card["collision_shapes"] or None,
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _files(run: Run) -> Iterator[str]:
    """Links to all files for other programs, and first to pages, for which the browser is enough."""
    found = [path for folder in (run.renders, run.exports) for path in sorted(folder.glob("*"))]
    found.sort(key=lambda path: path.suffix != ".html")
    rows = "".join(
        f"<tr><th>{_link(run, path)}{' · look around' * (path.suffix == '.html')}</th>"
        f"<td>{text(' '.join(tables.data_size(path.stat().st_size)))}</td></tr>"
        for path in found
        if path.is_file() and path.suffix != ".json" and not path.name.startswith(".")
    )
    if rows:
        yield f'<div class="card"><div class="head"><h3>Files</h3></div><table>{rows}</table></div>'


def _link(run: Run, path: Path) -> str:
    name = path.relative_to(run.path).as_posix()
    return f'<a href="{_address(run, path)}">{text(name)}</a>'


def _address(run: Run, path: Path) -> str:
    """Of a file in the run's folder, from the report, which lies there too."""
    return quote(path.relative_to(run.path).as_posix())


def _first_frame(path: Path) -> images.Image | None:
    capture = cv2.VideoCapture(str(path))
    try:
        read, frame = capture.read()
    finally:
        capture.release()
    return frame if read else None  # type: ignore[return-value]
