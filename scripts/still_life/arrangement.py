"""What lies where: the objects of the still life and the room around them, by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from still_life.shapes import (
    Array,
    Shape,
    box,
    chain_link,
    displaced,
    grid,
    lathe,
    leaf,
    rotation,
    scaled,
    sphere,
    torus_knot,
    tube,
    waves,
)

Rng = np.random.Generator

CLOTH_HEIGHT = 0.003  # metres above the floor where objects stand
ROOM = 2.5  # half the side of the room
NEAR_FLOOR = 1.1  # half the side of the floor that counts as part of the still life
WALL_HEIGHT = 2.2


def still_life(rng: Rng) -> dict[str, list[Shape]]:
    """The objects, standing on the cloth, and the floor near them."""
    objects = {
        "basket": _placed(basket(), -0.20, -0.16),
        "fruit": _placed(fruit(rng), -0.20, -0.16),
        "plant": _placed(plant(rng), 0.02, 0.23),
        "books": _placed(books(), 0.27, 0.02, turn=24),
        "mug": _placed(mug(), -0.27, 0.15, turn=-140),
        "knot": _placed(knot(), 0.06, -0.13, turn=20),
        "ball": _placed(
            [sphere(0.062).turned(55, "x").turned(20, "y").at(0, 0, 0.062).of("ball")], 0.21, -0.24, turn=30
        ),
        "letters": letter_blocks(),
        "stones": stones(rng),
        "chain": chain(),
        "pencils": pencils(),
        "cage": [s.at(0.265, 0.01, CLOTH_HEIGHT + 0.106) for s in cage()],
        "cloth": [cloth(rng)],
        "floor": [_floor(-NEAR_FLOOR, NEAR_FLOOR, -NEAR_FLOOR, NEAR_FLOOR)],
    }
    return objects


def room() -> dict[str, list[Shape]]:
    """The rest of the floor and the four walls."""
    n, f = NEAR_FLOOR, ROOM
    floor = [_floor(-f, f, -f, -n), _floor(-f, f, n, f), _floor(-f, -n, -n, n), _floor(n, f, -n, n)]
    wall = np.array([[(-f, f, 0), (-f, f, WALL_HEIGHT)], [(f, f, 0), (f, f, WALL_HEIGHT)]], float)
    walls = [_facing_centre(grid(wall).turned(90 * k).of(f"wall{k}")) for k in range(4)]
    return {"room floor": floor, "walls": walls}


def _facing_centre(shape: Shape) -> Shape:
    a, b, c = shape.vertices[shape.faces[0]]
    return shape.flipped() if np.cross(b - a, c - a) @ a > 0 else shape


def _placed(shapes: list[Shape], x: float, y: float, turn: float = 0) -> list[Shape]:
    return [s.turned(turn).at(x, y, CLOTH_HEIGHT) for s in shapes]


def _floor(x0: float, x1: float, y0: float, y1: float) -> Shape:
    """A rectangle at z = 0 that shows its part of the room's floor texture."""
    sheet = grid(np.array([[(x0, y0, 0), (x0, y1, 0)], [(x1, y0, 0), (x1, y1, 0)]], float))
    return replace(sheet, uvs=(sheet.vertices[sheet.faces][..., :2] + ROOM) / (2 * ROOM), material="planks")


def cloth(rng: Rng) -> Shape:
    """A cloth of 1.16 x 0.98 m: flat in the middle, in soft folds towards its hem."""
    x, y = np.meshgrid(np.linspace(-0.58, 0.58, 130), np.linspace(-0.49, 0.49, 110), indexing="ij")
    direction, phase, amplitude = waves(rng, 11, octaves=2)
    folds = np.sin(np.stack([x, y, 0 * x], -1) @ direction.T + phase) @ amplitude
    edge = np.clip(np.maximum(np.abs(x) / 0.58, np.abs(y) / 0.49) * 2.6 - 1.55, 0, 1) ** 2
    z = CLOTH_HEIGHT + 0.011 * edge * (folds - folds.min()) / 2
    wavy = 0.012 * edge * folds
    return grid(np.stack([x + wavy, y - wavy, z], -1)).turned(8).of("cloth")


def basket() -> list[Shape]:
    """Stakes with one strand woven through them in a spiral, two rims and a handle."""
    stakes, bottom, top, height = 27, 0.095, 0.135, 0.1

    def radius(z: Array) -> Array:
        return bottom + (top - bottom) * (z / height) ** 0.7

    shapes = []
    z = np.linspace(0.004, height, 10)
    for k in range(stakes):
        heading = 2 * np.pi * k / stakes
        shapes.append(
            tube(np.stack([radius(z) * np.cos(heading), radius(z) * np.sin(heading), z], 1), 0.0026, 6).of("cane")
        )
    rows = 8
    a = np.linspace(0, 2 * np.pi * rows, rows * 27 * 5)
    z = 0.012 + (height - 0.02) * a / a[-1]
    r = radius(z) + 0.0045 * np.cos(stakes * a / 2)  # odd: every turn passes the stakes on the other side
    shapes.append(tube(np.stack([r * np.cos(a), r * np.sin(a), z], 1), 0.0034, 6).of("wicker"))
    a = np.linspace(0, 2 * np.pi, 150, endpoint=False)
    for phase in (0, np.pi):  # twisted rims
        for z0, r0 in ((0.006, bottom), (height, top)):
            rr = r0 + 0.004 * np.cos(18 * a + phase)
            rim = np.stack([rr * np.cos(a), rr * np.sin(a), z0 + 0.004 * np.sin(18 * a + phase)], 1)
            shapes.append(tube(rim, 0.004, 6, closed=True).of("wicker"))
        t = np.linspace(0, np.pi, 110)
        handle = np.stack([
            (top - 0.004) * np.cos(t), 0.005 * np.cos(24 * t + phase), height - 0.01 + 0.15 * np.sin(t) ** 0.8
            + 0.005 * np.sin(24 * t + phase) * np.sin(t),
        ], 1)  # fmt: skip
        shapes.append(tube(handle, 0.0045, 6).turned(35).of("cane"))
    shapes.append(lathe([(0, 0.002), (bottom - 0.004, 0.002), (bottom - 0.004, 0.007), (0, 0.007)], 48).of("cane"))
    return shapes


def fruit(rng: Rng) -> list[Shape]:
    """Apples, oranges and a pear in the basket."""
    apple = [(0, 0.012), (0.012, 0.002), (0.028, 0.004), (0.04, 0.026), (0.042, 0.05), (0.03, 0.072), (0.012, 0.072),
             (0.004, 0.06), (0, 0.06)]  # fmt: skip
    pear = [(0, 0), (0.02, 0), (0.042, 0.015), (0.044, 0.042), (0.028, 0.068), (0.02, 0.09), (0.012, 0.102), (0, 0.1)]
    stem = tube([(0, 0, 0.058), (0.001, 0, 0.07), (0.004, 0.001, 0.083)], 0.0018, 6).of("twig")
    shapes = []
    for x, y, z, kind, tilt in (
        (0.055, 0.01, 0.012, "apple", 15), (-0.02, 0.055, 0.012, "orange", 40), (-0.045, -0.03, 0.012, "apple2", -25),
        (0.02, -0.055, 0.014, "orange", 10), (0.005, 0.0, 0.062, "pear", 62), (0.06, 0.065, 0.05, "apple", -20),
    ):  # fmt: skip
        if kind == "orange":
            parts = [displaced(sphere(0.039, 72), rng, 0.0008, 60).at(0, 0, 0.039).of("orange")]
        elif kind == "pear":
            lying = lathe(pear, 60, spline=True)
            parts = [lying.of("pear"), stem.at(0, 0, 0.034)]
        else:
            parts = [lathe(apple, 60, spline=True).of(kind), stem]
        shapes += [p.at(0, 0, -0.035).turned(tilt, "x").turned(40 * tilt).at(x, y, z + 0.035) for p in parts]
    return shapes


def plant(rng: Rng) -> list[Shape]:
    """A clay pot with soil and arching stems full of thin leaves."""
    pot = [(0, 0), (0.052, 0), (0.072, 0.1), (0.08, 0.1), (0.08, 0.122), (0.068, 0.122), (0.064, 0.1), (0, 0.1)]
    a = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    r = np.linspace(0, 1, 10)[:, None]
    heap = 0.104 + 0.006 * np.sin(7 * a) * np.sin(5 * r) + 0.008 * (1 - r)
    soil = grid(np.stack([0.066 * r * np.cos(a), 0.066 * r * np.sin(a), heap], -1), wrap_columns=True)
    shapes = [lathe(pot, 72).of("pot"), soil.of("soil")]
    for k in range(9):
        heading, reach, top = (360 * k / 9 + rng.uniform(-10, 10), rng.uniform(0.03, 0.17), rng.uniform(0.2, 0.34))
        t = np.linspace(0, 1, 14)
        path = np.stack(
            [0.012 + reach * t**1.7, 0.006 * np.sin(4 * t), 0.1 + top * (t - 0.32 * t**3 * (reach / 0.17))], 1
        )
        stem = [tube(path, 0.0022 - 0.0012 * t, 6).of("stem")]
        for j in range(5, 14):
            side = 1 if j % 2 else -1
            size = rng.uniform(0.05, 0.08) * (1 - 0.35 * j / 14)
            blade = leaf(size, size * 0.36, rng.uniform(0.15, 0.5))
            blade = blade.turned(-rng.uniform(0, 35), "y").turned(side * rng.uniform(40, 75))
            stem.append(blade.at(*path[j]).of("leaf" if rng.random() < 0.7 else "leaf2"))
        shapes += [s.turned(heading) for s in stem]
    return shapes


def books() -> list[Shape]:
    """Three books in a pile; each has boards, a spine and pages."""
    shapes, z = [], 0.0
    sizes = ((0.25, 0.175, 0.038, 0), (0.23, 0.16, 0.03, -13), (0.205, 0.145, 0.034, 9))
    for k, (length, depth, height, turn) in enumerate(sizes):
        board = 0.003
        pages = box(length - 0.01, depth - 0.01, height - 2 * board).at(0, 0.001, board).of("pages")
        cover = box(length, depth, board).of(f"cover{k}")
        spine = box(length, board, height).at(0, -depth / 2 - board / 2, 0).of(f"spine{k}")
        shapes += [s.turned(turn).at(0, 0, z) for s in (pages, cover, cover.at(0, 0, height - board), spine)]
        z += height
    return shapes


def mug() -> list[Shape]:
    """A mug with a handle."""
    profile = [
        (0, 0),
        (0.034, 0),
        (0.04, 0.006),
        (0.041, 0.02),
        (0.041, 0.04),
        (0.041, 0.06),
        (0.041, 0.08),
        (0.042, 0.096),
        (0.0395, 0.098),
        (0.0375, 0.095),
        (0.0375, 0.05),
        (0.0365, 0.012),
        (0.03, 0.007),
        (0, 0.007),
    ]
    t = np.linspace(-0.42 * np.pi, 0.42 * np.pi, 30)
    path = np.stack([0.03 + 0.04 * np.cos(t), 0 * t, 0.052 + 0.031 * np.sin(t)], 1)
    return [lathe(profile, 80, spline=True).of("mug"), tube(path, 0.0058, 12, flat=1.3).of("glaze")]


def knot() -> list[Shape]:
    """A torus knot standing on a wooden block."""
    upright = torus_knot(0.078, 0.0135).turned(90, "x")
    low = upright.vertices[:, 2].min()
    return [box(0.13, 0.075, 0.028).of("wood"), upright.at(0, 0, 0.0265 - low).of("knot")]


def letter_blocks() -> list[Shape]:
    side = 0.042
    places = [
        (-0.09, 0.035, 0, 20),
        (-0.04, 0.062, 0, -35),
        (-0.067, 0.05, side, 4),
        (-0.02, -0.31, 0, 50),
        (0.33, 0.24, 0, 12),
    ]
    block = box(side, side, side, atlas=True)
    return [
        block.turned(turn).at(x, y, z + CLOTH_HEIGHT).of(f"letters{k % 3}") for k, (x, y, z, turn) in enumerate(places)
    ]


def stones(rng: Rng) -> list[Shape]:
    shapes = []
    places = [
        (-0.36, -0.02, 0.045),
        (-0.40, 0.05, 0.03),
        (0.19, 0.30, 0.05),
        (0.26, 0.33, 0.032),
        (-0.06, 0.34, 0.036),
        (0.37, -0.17, 0.04),
    ]
    for k, (x, y, size) in enumerate(places):
        rock = displaced(sphere(1.0, 90), rng, 0.13, 2.2)
        rock = scaled(rock, size, 0.8 * size, 0.6 * size).turned(rng.uniform(0, 360))
        shapes.append(rock.at(x, y, CLOTH_HEIGHT - 0.9 * rock.vertices[:, 2].min()).of(f"stone{k % 2}"))
    return shapes


def chain() -> list[Shape]:
    """Links along a curve on the cloth, each turned a right angle against the one before."""
    t = np.linspace(0, 1, 400)
    curve = np.stack([-0.02 + 0.34 * t, -0.365 + 0.045 * np.sin(6.5 * t), 0 * t], 1)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    shapes = []
    for k, s in enumerate(np.arange(0.014, along[-1] - 0.014, 0.0235)):
        position = np.array([np.interp(s, along, curve[:, i]) for i in range(3)])
        ahead = np.array([np.interp(s + 0.004, along, curve[:, i]) for i in range(3)]) - position
        heading = float(np.degrees(np.arctan2(ahead[1], ahead[0])))
        link = chain_link(0.032, 0.019, 0.0029).turned(45 if k % 2 else -45, "x").turned(heading)
        shapes.append(link.at(position[0], position[1], CLOTH_HEIGHT + 0.0097).of("iron"))
    return shapes


def pencils() -> list[Shape]:
    shapes = []
    for k, (x, y, turn) in enumerate(((-0.18, 0.30, 35), (-0.22, 0.325, 18), (0.36, 0.09, 100), (-0.40, -0.22, 70))):
        x0, radius = 0.085, 0.0042
        path = np.array([(-x0, 0, 0), (-0.04, 0, 0), (0, 0, 0), (0.04, 0, 0), (0.07, 0, 0), (x0, 0, 0)])
        pencil = tube(path, [radius] * 4 + [radius, 0.0006], 6).turned(30, "x").turned(turn)
        shapes.append(replace(pencil, smooth=False).at(x, y, CLOTH_HEIGHT + 0.0037).of(f"pencil{k % 3}"))
    return shapes


def cage() -> list[Shape]:
    """A ball of sticks: the edges of an icosahedron, each cut in two."""
    g = (1 + 5**0.5) / 2
    corners = np.array([(s * a, t * b, 0) for s in (1, -1) for t in (1, -1) for a, b in ((1, g),)])
    points = np.concatenate([np.roll(corners, k, axis=1) for k in range(3)])
    points *= 0.052 / np.linalg.norm(points[0])
    near = min(float(np.linalg.norm(p - points[0])) for p in points[1:])
    sticks = [(p, q) for i, p in enumerate(points) for q in points[:i] if np.linalg.norm(p - q) < 1.01 * near]
    tilt: Array = rotation(31.717, "x")  # a face of two edges down
    shapes = [tube([p, (p + q) / 2, q], 0.0021, 8).of("brass") for p, q in sticks]
    shapes += [sphere(0.0042, 12).at(*p).of("brass") for p in points]
    turned = [replace(s, vertices=s.vertices @ tilt.T) for s in shapes]
    low = min(float(s.vertices[:, 2].min()) for s in turned)
    return [s.at(0, 0, -low) for s in turned]
