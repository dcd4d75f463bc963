"""Painted textures of the still life: sRGB images [H, W, 3] uint8 drawn from a seeded generator.

They are busy at every place and repeat nowhere, because structure from motion needs features
everywhere; most marks are some millimetres to some centimetres wide, which is what photos of 640
pixels resolve.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Picture = NDArray[np.uint8]
Rng = np.random.Generator

INK: Color = (45, 38, 40)
PALETTE: tuple[Color, ...] = (
    (178, 58, 47), (217, 142, 50), (233, 196, 106), (90, 125, 80), (42, 110, 110),
    (47, 72, 122), (120, 76, 120), (196, 108, 110), (88, 66, 52), (226, 214, 190),
)  # fmt: skip


def noise(
    rng: Rng, height: int, width: int, cells: float, octaves: int = 4, stretch: float = 1.0
) -> NDArray[np.float32]:
    """Smooth noise [H, W] around 0 (deviation about 1): ``cells`` across the width in the first octave."""
    out = np.zeros((height, width), np.float32)
    for k in range(octaves):
        n = cells * 2**k
        size = max(int(n * height / width * stretch), 2), max(int(n), 2)
        layer = Image.fromarray(rng.normal(size=size).astype(np.float32))
        out += np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC)) * 0.6**k
    return out / max(float(out.std()), 1e-6)


def stained(
    picture: Image.Image | Picture, rng: Rng, strength: float, cells: float = 6, stretch: float = 1.0
) -> Picture:
    """Lightens and darkens a picture by smooth noise, so that no two places look alike."""
    array = np.asarray(picture).astype(np.float32)
    height, width = array.shape[:2]
    shade = 1 + strength * noise(rng, height, width, cells, 5, stretch)
    tint = 1 + 0.3 * strength * np.stack([noise(rng, height, width, cells / 2, 2) for _ in range(3)], axis=-1)
    out: Picture = np.clip(array * shade[..., None] * tint, 4, 250).astype(np.uint8)
    return out


def pick(rng: Rng, colors: Sequence[Color] = PALETTE) -> Color:
    return colors[int(rng.integers(len(colors)))]


def vary(rng: Rng, color: Color, amount: int = 18) -> Color:
    r, g, b = np.clip(np.array(color) + rng.integers(-amount, amount + 1, 3), 0, 255)
    return int(r), int(g), int(b)


def glyph(draw: ImageDraw.ImageDraw, rng: Rng, x: float, y: float, size: float, color: Color) -> None:
    """A letter of no alphabet: strokes and arcs between the points of a 3 x 4 lattice."""

    def at(p: tuple[int, int]) -> tuple[float, float]:
        return x + size * 0.32 * p[0], y + size * 0.3 * p[1]

    width = max(int(size * 0.13), 1)
    points = [(int(rng.integers(3)), int(rng.integers(4))) for _ in range(rng.integers(3, 6))]
    draw.line([at(p) for p in points], fill=color, width=width, joint="curve")
    if rng.random() < 0.5:
        cx, cy = at((1, int(rng.integers(1, 3))))
        r = size * 0.25
        start = rng.uniform(0, 360)
        draw.arc([cx - r, cy - r, cx + r, cy + r], start, start + rng.uniform(150, 330), fill=color, width=width)


def text(draw: ImageDraw.ImageDraw, rng: Rng, x: float, y: float, width: float, size: float, color: Color) -> None:
    """A line of glyphs with word gaps, from the upper left corner (x, y)."""
    right = x + width - size * 0.7
    while x < right:
        if rng.random() > 0.16:
            glyph(draw, rng, x, y, size, color)
        x += size * 0.85


def motif(draw: ImageDraw.ImageDraw, rng: Rng, x: float, y: float, r: float, colors: Sequence[Color] = PALETTE) -> None:
    """A flower, star, ring, sprig or spiral of radius r."""
    color, other = vary(rng, pick(rng, colors)), vary(rng, pick(rng, colors))
    turn, kind, n = rng.uniform(0, 2 * np.pi), rng.integers(5), int(rng.integers(4, 9))

    def disc(cx: float, cy: float, s: float, c: Color) -> None:
        draw.ellipse([cx - s, cy - s, cx + s, cy + s], fill=c)

    around = [(np.cos(turn + 2 * np.pi * k / n), np.sin(turn + 2 * np.pi * k / n)) for k in range(n)]
    if kind == 0:
        for cx, cy in around:
            disc(x + 0.62 * r * cx, y + 0.62 * r * cy, 0.36 * r, color)
        disc(x, y, 0.34 * r, other)
    elif kind == 1:
        angles = turn + np.pi * np.arange(2 * n) / n
        spikes = np.where(np.arange(2 * n) % 2, 0.45, 1.0) * r
        draw.polygon([(x + s * np.cos(a), y + s * np.sin(a)) for a, s in zip(angles, spikes, strict=True)], fill=color)
        disc(x, y, 0.2 * r, other)
    elif kind == 2:
        disc(x, y, r, color)
        disc(x, y, 0.66 * r, other)
        disc(x + 0.15 * r, y, 0.3 * r, color)
    elif kind == 3:
        c, s = np.cos(turn), np.sin(turn)
        draw.line([(x - r * c, y - r * s), (x + r * c, y + r * s)], fill=color, width=max(int(r / 7), 1))
        for k in np.linspace(-0.8, 0.8, 6):
            for side in (-0.3, 0.3):
                disc(x + r * (k * c - side * s), y + r * (k * s + side * c), 0.2 * r, color if side > 0 else other)
    else:
        a = np.linspace(0, 4.4 * np.pi, 60)
        spiral = [(x + r * t / 13.8 * np.cos(t + turn), y + r * t / 13.8 * np.sin(t + turn)) for t in a]
        draw.line(spiral, fill=color, width=max(int(r / 6), 1), joint="curve")


def scattered(rng: Rng, width: float, height: float, spacing: float, tries: int = 4000) -> list[tuple[float, float]]:
    """Random points at least ``spacing`` apart."""
    kept = np.empty((0, 2))
    for p in rng.uniform((0, 0), (width, height), (tries, 2)):
        if not len(kept) or np.min(np.sum((kept - p) ** 2, axis=1)) > spacing**2:
            kept = np.concatenate([kept, p[None]])
    return [(float(x), float(y)) for x, y in kept]


def _canvas(width: int, height: int, color: Color) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), color)
    return image, ImageDraw.Draw(image)


def cloth(rng: Rng) -> Picture:
    """A block-printed cotton cloth: borders of glyphs and stars, a field of motifs."""
    w, h = 2600, 2200
    image, draw = _canvas(w, h, (226, 213, 186))
    for inset, color in ((0, (47, 72, 122)), (60, (226, 213, 186)), (95, (178, 58, 47)), (215, (226, 213, 186))):
        draw.rectangle([inset, inset, w - inset, h - inset], fill=color)
    for k in range(46):  # the red border
        for y in (155, h - 155):
            motif(
                draw,
                rng,
                150 + k * 51,
                y + rng.uniform(-6, 6),
                rng.uniform(17, 34),
                ((233, 196, 106), (240, 226, 200), INK),
            )
    for k in range(37):
        for x in (155, w - 155):
            motif(
                draw,
                rng,
                x + rng.uniform(-6, 6),
                195 + k * 51,
                rng.uniform(17, 34),
                ((233, 196, 106), (240, 226, 200), INK),
            )
    for px, py in scattered(rng, w - 560, h - 560, 150):
        motif(draw, rng, px + 280, py + 280, rng.uniform(45, 80))
    for px, py in scattered(rng, w - 540, h - 540, 120):
        motif(draw, rng, px + 270, py + 270, rng.uniform(14, 24))
    image = Image.blend(image, Image.new("RGB", image.size, (214, 200, 176)), 0.25)  # washed often
    return stained(image, rng, 0.055, 9)


def planks(rng: Rng, size: int = 3600, count: int = 34) -> Picture:
    """A square of floor boards with grain, knots, worn paint and joints."""
    rows = size // count
    board = np.zeros((count * rows, size, 3), np.float32)
    for k in range(count):
        part = slice(k * rows, (k + 1) * rows)
        cuts = [0, *sorted(rng.integers(0, size, 3)), size]
        grain = noise(rng, rows, size, 14, 5, stretch=14)
        for a, b in pairwise(cuts):
            base = np.array(vary(rng, pick(rng, ((150, 106, 70), (132, 92, 62), (166, 124, 86), (118, 84, 60))), 10))
            board[part, a:b] = base * (1 + 0.12 * grain[:, a:b, None])
            board[part, a : a + 5] *= 0.45
        board[k * rows : k * rows + 5] *= 0.45
    image = Image.fromarray(np.clip(board, 0, 255).astype(np.uint8)).resize((size, size))
    draw = ImageDraw.Draw(image)
    for x, y in scattered(rng, size, size, 70, 4000):  # knots
        r, long = rng.uniform(2.5, 9), rng.uniform(1.3, 3.2)
        for s, c in ((1.0, (104, 72, 48)), (0.6, (78, 54, 38))):
            draw.ellipse([x - long * r * s, y - r * s, x + long * r * s, y + r * s], fill=vary(rng, c, 12))
    for x, y in scattered(rng, size, size, 105, 3000):  # drops of old paint
        r = rng.uniform(3, 11)
        color = vary(rng, pick(rng, ((206, 196, 172), (160, 170, 160), (74, 66, 62), (150, 84, 62))))
        for _ in range(5):
            dx, dy, s = rng.normal(0, r), rng.normal(0, r), r * rng.uniform(0.3, 0.8)
            draw.ellipse([x + dx - s, y + dy - s, x + dx + s, y + dy + s], fill=color)
    return stained(image, rng, 0.1, 10)


def painting(rng: Rng, width: int, height: int) -> Image.Image:
    """A framed abstract painting of overlapping shapes."""
    image, draw = _canvas(width, height, vary(rng, pick(rng)))
    for _ in range(26):
        x, y, r = (rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.06, 0.25) * width)
        if rng.random() < 0.5:
            draw.ellipse([x - r, y - r, x + r, y + r * rng.uniform(0.3, 1)], fill=vary(rng, pick(rng)))
        else:
            draw.polygon([(x + r * a, y + r * b) for a, b in rng.uniform(-1, 1, (4, 2))], fill=vary(rng, pick(rng)))
    for _ in range(14):
        motif(draw, rng, rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.03, 0.08) * width)
    draw.rectangle(
        [0, 0, width - 1, height - 1], outline=pick(rng, (INK, (196, 160, 90), (235, 230, 220))), width=width // 18
    )
    return image


def _hung(image: Image.Image, rng: Rng) -> Image.Image:
    """Hangs paintings and printed sheets on a wall."""
    draw = ImageDraw.Draw(image)
    x = rng.uniform(30, 160)
    while x < image.width - 180:
        w = int(rng.uniform(150, 340))
        h = int(w * rng.uniform(0.75, 1.35))
        y = int(rng.uniform(0.3, 0.75) * max(image.height - h, 1))
        if rng.random() < 0.7:
            image.paste(painting(rng, w, h), (int(x), y))
        else:
            draw.rectangle([x, y, x + w, y + h], fill=(228, 222, 206))
            for k in range(int(h / 30) - 1):
                text(draw, rng, x + 14, y + 16 + 30 * k, w - 28, 19, INK)
        x += w + rng.uniform(200, 500)
    return image


def brick_wall(rng: Rng) -> Picture:
    w, h = 2048, 920
    image, draw = _canvas(w, h, (186, 174, 158))
    for row in range(h // 46):
        x = -rng.uniform(0, 110)
        while x < w:
            length = rng.uniform(80, 125)
            color = pick(rng, ((150, 78, 58), (168, 96, 70), (132, 70, 58), (176, 118, 88)))
            draw.rounded_rectangle([x, row * 46 + 3, x + length - 6, row * 46 + 43], 4, fill=vary(rng, color))
            x += length
    return stained(_hung(image, rng), rng, 0.1, 12)


def plaster_wall(rng: Rng) -> Picture:
    w, h = 2048, 920
    image, draw = _canvas(w, h, (168, 184, 172))
    draw.rectangle([0, int(h * 0.72), w, h], fill=(122, 140, 138))
    for x, y in scattered(rng, w, h, 58):
        motif(draw, rng, x, y, rng.uniform(9, 24), ((146, 162, 152), (190, 200, 184), (130, 150, 150), (200, 180, 150)))
    return stained(_hung(image, rng), rng, 0.09, 10)


def board_wall(rng: Rng) -> Picture:
    w, h = 2048, 920
    image, draw = _canvas(w, h, (0, 0, 0))
    x = 0.0
    while x < w:
        width = rng.uniform(40, 95)
        draw.rectangle(
            [x, 0, x + width - 4, h],
            fill=vary(rng, pick(rng, ((72, 96, 112), (190, 178, 150), (112, 130, 116), (158, 108, 84)))),
        )
        x += width
    grain = stained(image, rng, 0.12, 40, stretch=0.12)
    return stained(_hung(Image.fromarray(grain), rng), rng, 0.06, 8)


def book_cover(rng: Rng, color: Color) -> Picture:
    w, h = 900, 640
    image, draw = _canvas(w, h, color)
    light: Color = (238, 226, 196)
    draw.rectangle([30, 30, w - 30, h - 30], outline=light, width=9)
    image.paste(painting(rng, 340, 420), (70, 110))
    for k in range(6):
        text(draw, rng, 450, 110 + 72 * k, 370, 34 + 18 * (k < 2), light if k % 3 else (233, 196, 106))
    return stained(image, rng, 0.07)


def book_spine(rng: Rng, color: Color) -> Picture:
    w, h = 900, 120
    image, draw = _canvas(w, h, color)
    for x in (30, 60, 820, 850):
        draw.rectangle([x, 0, x + 12, h], fill=(233, 196, 106))
    text(draw, rng, 110, 32, 660, 62, (238, 226, 196))
    return stained(image, rng, 0.07)


def pages(rng: Rng) -> Picture:
    lines = 0.8 + 0.2 * rng.random((40, 1, 1)) * np.ones((1, 900, 3))
    image = Image.fromarray((lines * (232, 220, 194)).astype(np.uint8)).resize((900, 160), Image.Resampling.BILINEAR)
    return stained(image, rng, 0.08, 14)


def letters(rng: Rng, color: Color) -> Picture:
    """The six faces of a letter block, as a 3 x 2 atlas."""
    image, draw = _canvas(600, 400, (214, 178, 128))
    for k in range(6):
        x, y = k % 3 * 200, k // 3 * 200
        draw.rectangle([x + 8, y + 8, x + 192, y + 192], outline=color, width=12)
        if k % 2:
            motif(draw, rng, x + 100, y + 100, 66, (color, INK))
        else:
            glyph(draw, rng, x + 52, y + 38, 150, color)
    return stained(image, rng, 0.07)


def stripes(rng: Rng, colors: Sequence[Color], count: int, size: tuple[int, int], marks: int = 0) -> Picture:
    """Stripes across u (the width) with motifs on them."""
    w, h = size
    image, draw = _canvas(w, h, colors[0])
    for k in range(count):
        draw.rectangle([k * w / count, 0, (k + 1) * w / count, h], fill=colors[k % len(colors)])
    for x, y in scattered(rng, w, h, (w * h / marks) ** 0.5 * 0.75, 8 * marks) if marks else []:
        motif(draw, rng, x, y, rng.uniform(0.2, 0.42) * (w * h / marks) ** 0.5)
    return stained(image, rng, 0.07, 10)


def mug(rng: Rng) -> Picture:
    """Around the mug along u; the profile runs along v (outside first)."""
    w, h = 1400, 900
    image, draw = _canvas(w, h, (224, 220, 206))
    draw.rectangle([0, 480, w, 620], fill=(42, 110, 110))
    draw.rectangle([0, 760, w, h], fill=(42, 110, 110))
    for x, y in scattered(rng, w, 330, 88, 1500):
        motif(draw, rng, x, h - 790 + y + 40, rng.uniform(22, 44))
    text(draw, rng, 0, 510, w, 70, (238, 226, 196))
    return stained(image, rng, 0.04)


WALLS: tuple[Callable[[Rng], Picture], ...] = (brick_wall, plaster_wall, board_wall, brick_wall)
