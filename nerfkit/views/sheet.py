"""Pictures beside each other with words above and below: contact sheets, and frames of videos that compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError
from nerfkit.files import atomic

Image = NDArray[np.uint8]  # [H, W, 3] sRGB
Size = tuple[int, int]  # width, height

FORMATS = (".png", ".jpg", ".jpeg")
LONGEST, SHORTEST = 960, 240  # pixels: what the longer side of a picture on a sheet is brought between
GAP = 8  # pixels between columns and at the page's border
PAPER, INK, FAINT = 255, 20, 90  # grey levels of the page, of headings and of captions
HEADING, CAPTION = 22, 15  # pixels: heights of letters


@dataclass(frozen=True)
class Tile:
    """A picture on a sheet, and a line of words below it."""

    image: Image
    caption: str = ""


def sheet(headings: Sequence[str], rows: Sequence[Sequence[Tile]]) -> Image:
    """A page: a column for each heading, and in each row pictures of one thing at one size, captions below them."""
    sizes = [shown_size([tile.image for tile in tiles]) for tiles in rows]
    column = max(width for width, _ in sizes)
    parts = [words(headings, column, HEADING, INK)]
    for tiles, size in zip(rows, sizes, strict=True):
        parts.append(beside([resized(tile.image, size) for tile in tiles], column))
        parts.append(words([tile.caption for tile in tiles], column, CAPTION, FAINT))
    return np.concatenate(parts)


def beside(images: Sequence[Image], column: int) -> Image:
    """Pictures of one height in columns of the page, each in the middle of its own."""
    page = np.full((len(images[0]), _page_width(len(images), column), 3), PAPER, np.uint8)
    for index, image in enumerate(images):
        left = GAP + index * (column + GAP) + (column - image.shape[1]) // 2
        page[:, left : left + image.shape[1]] = image
    return page


def words(texts: Sequence[str], column: int, height: int, ink: int) -> Image:
    """A line of the page: each text in the middle of its column, cut at its end where it is too long."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    page = Pillow.new("L", (_page_width(len(texts), column), round(height * 1.9)), PAPER)
    draw, font = ImageDraw.Draw(page), _font(height)
    for index, text in enumerate(texts):
        middle = GAP + index * (column + GAP) + column / 2
        draw.text((middle, page.height / 2), shortened(text, column, height), fill=ink, font=font, anchor="mm")
    return np.repeat(np.asarray(page, np.uint8)[..., None], 3, -1)


def shortened(text: str, width: int, height: int) -> str:
    """The text, or as much of it as fits into ``width`` pixels, with … at its end."""
    font = _font(height)
    if font.getlength(text) <= width:
        return text
    kept = text
    while kept and font.getlength(f"{kept}…") > width:
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def shown_size(images: Sequence[Image]) -> Size:
    """The size at which pictures of one thing are shown: that of the largest, within what a sheet allows."""
    height, width = max((image.shape[:2] for image in images), key=lambda shape: shape[0] * shape[1])
    scale = min(max(1.0, SHORTEST / max(width, height)), LONGEST / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def resized(image: Image, size: Size) -> Image:
    if (image.shape[1], image.shape[0]) == size:
        return image
    smaller = size[0] < image.shape[1]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC), np.uint8)


def check(path: Path) -> None:
    """Raises NerfkitError: no format that a sheet is written in, or a folder in the way."""
    if path.suffix.lower() not in FORMATS:
        raise NerfkitError(f"{path}: unknown kind of picture {path.suffix or '(no suffix)'!r}; use .png or .jpg")
    if path.is_dir():
        raise NerfkitError(f"{path}: is a folder; choose another output file")


def write(path: Path, image: Image) -> Path:
    """Writes a PNG or JPEG by its suffix, whole or not at all."""
    import imageio.v3 as iio

    check(path)
    options: dict[str, Any] = {} if path.suffix.lower() == ".png" else {"quality": 92}
    with atomic(path) as partial:
        iio.imwrite(partial, image, **options)
    return path


def _page_width(columns: int, column: int) -> int:
    return GAP + columns * (column + GAP)


@lru_cache(maxsize=4)
def _font(height: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(height)
