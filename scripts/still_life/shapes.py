"""Triangle shapes of the still life, in metres, +Z up: what is rendered is what the true mesh holds.

Every shape is built from grids of points, so that no modifier of the renderer stands between the
rendered surface and the one written to disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Shape:
    """Triangles with texture coordinates per corner and the name of their material."""

    vertices: Array  # [V, 3]
    faces: NDArray[np.int64]  # [F, 3] counter-clockwise seen from outside
    uvs: Array  # [F, 3, 2], origin bottom left
    material: str = ""
    smooth: bool = True

    def of(self, material: str) -> Shape:
        return replace(self, material=material)

    def at(self, *position: float) -> Shape:
        return replace(self, vertices=self.vertices + np.asarray(position))

    def turned(self, degrees: float, axis: str = "z") -> Shape:
        return replace(self, vertices=self.vertices @ rotation(degrees, axis).T)

    def flipped(self) -> Shape:
        return replace(self, faces=self.faces[:, ::-1], uvs=self.uvs[:, ::-1])

    def outward(self) -> Shape:
        """Turns a closed surface inside out where its signed volume is negative."""
        a, b, c = (self.vertices[self.faces[:, k]] for k in range(3))
        return self if np.einsum("ij,ij->i", a, np.cross(b, c)).sum() >= 0 else self.flipped()


def rotation(degrees: float, axis: str) -> Array:
    """Rotation matrix [3, 3] about a coordinate axis."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return {
        "x": np.array([[1, 0, 0], [0, c, -s], [0, s, c]]),
        "y": np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]),
        "z": np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    }[axis]


def grid(points: Array, *, wrap_rows: bool = False, wrap_columns: bool = False) -> Shape:
    """A sheet, tube or torus over points [N, M, 3]; u runs along the rows, v along the columns."""
    n, m = points.shape[:2]
    rows, columns = (n if wrap_rows else n - 1), (m if wrap_columns else m - 1)
    i, j = (x.ravel() for x in np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"))
    corners = [(i + di, j + dj) for di, dj in ((0, 0), (1, 0), (1, 1), (0, 1))]
    index = np.stack([a % n * m + b % m for a, b in corners], axis=1)  # [Q, 4]
    uv = np.stack([np.stack([a / rows, b / columns], axis=-1) for a, b in corners], axis=1)  # [Q, 4, 2]
    faces = np.concatenate([index[:, [0, 1, 2]], index[:, [0, 2, 3]]])
    uvs = np.concatenate([uv[:, [0, 1, 2]], uv[:, [0, 2, 3]]])
    return _weld(points.reshape(-1, 3), faces, uvs)


def _weld(vertices: Array, faces: NDArray[np.int64], uvs: Array) -> Shape:
    """Joins coincident vertices (poles, caps) and drops the triangles that vanish with them."""
    _, first, inverse = np.unique(np.round(vertices, 9), axis=0, return_index=True, return_inverse=True)
    faces = inverse.reshape(-1)[faces]
    keep = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return Shape(vertices[first], faces[keep], uvs[keep])


def box(width: float, depth: float, height: float, *, atlas: bool = False) -> Shape:
    """A box standing on z = 0. Each face shows the whole texture, or with ``atlas`` one cell of 3 x 2."""
    x, y, z = width / 2, depth / 2, height
    faces = [
        [(-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)],
        [(-x, y, 0), (x, y, 0), (x, -y, 0), (-x, -y, 0)],
        [(-x, -y, 0), (x, -y, 0), (x, -y, z), (-x, -y, z)],
        [(x, y, 0), (-x, y, 0), (-x, y, z), (x, y, z)],
        [(x, -y, 0), (x, y, 0), (x, y, z), (x, -y, z)],
        [(-x, y, 0), (-x, -y, 0), (-x, -y, z), (-x, y, z)],
    ]
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
    cells = [(square + np.array([k % 3, k // 3])) / (3, 2) if atlas else square for k in range(6)]
    quads = np.arange(24).reshape(6, 4)
    index = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    uv = np.stack(cells)
    uvs = np.concatenate([uv[:, [0, 1, 2]], uv[:, [0, 2, 3]]])
    return replace(_weld(np.array(faces, float).reshape(-1, 3), index, uvs), smooth=False)


def lathe(profile: Sequence[tuple[float, float]], sides: int, *, spline: bool = False) -> Shape:
    """A closed profile of (radius, z), from axis to axis, turned about z; ``spline`` rounds it off."""
    outline = np.array(profile, float)
    if spline:
        outline = _rounded(outline)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)[:, None]
    r, z = np.maximum(outline[:, 0], 0), outline[:, 1]
    points = np.stack([r * np.cos(angle), r * np.sin(angle), np.broadcast_to(z, (sides, len(z)))], axis=-1)
    return grid(points, wrap_rows=True).outward()


def _rounded(outline: Array, steps: int = 3) -> Array:
    """Cuts the corners of an open polyline (Chaikin) while its ends stay."""
    for _ in range(steps):
        a, b = outline[:-1], outline[1:]
        outline = np.concatenate(
            [outline[:1], np.stack([0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b], 1).reshape(-1, 2), outline[-1:]]
        )
    return outline


def tube(path: ArrayLike, radius: ArrayLike, sides: int = 8, *, closed: bool = False, flat: float = 1.0) -> Shape:
    """A tube of a radius (one, or one per point) along a path [N, 3], capped unless closed.

    ``flat`` < 1 squeezes the cross-section across the path's plane normal.
    """
    p = np.asarray(path, float)
    r = np.broadcast_to(np.asarray(radius, float), len(p))
    if not closed:
        p, r = np.concatenate([p[:1], p, p[-1:]]), np.concatenate([[0], r, [0]])
    if closed:
        before, after = np.roll(p, 1, 0), np.roll(p, -1, 0)
    else:  # the doubled ends take the direction of the first and the last piece
        before, after = (p[[0, 0, *range(1, len(p) - 2), -3]], p[[2, *range(2, len(p)), -1]])
    tangent = (after - before) / np.linalg.norm(after - before, axis=1, keepdims=True)
    normal = _transported(tangent, closed)
    side = np.cross(tangent, normal)
    a = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(a)[None, :, None] * normal[:, None] + flat * np.sin(a)[None, :, None] * side[:, None]
    return grid(p[:, None] + r[:, None, None] * ring, wrap_rows=closed, wrap_columns=True).outward()


def _transported(tangent: Array, closed: bool) -> Array:
    """Normals [N, 3] that turn as little as possible along the tangents (and meet, if closed)."""
    start = np.eye(3)[np.argmin(np.abs(tangent[0]))]
    normals = [start]
    for t in tangent:
        n = normals[-1] - t * (normals[-1] @ t)
        normals.append(n / np.linalg.norm(n))
    normal = np.array(normals[1:])
    if closed:
        last = normal[-1] - tangent[0] * (normal[-1] @ tangent[0])
        twist = np.arctan2(np.cross(normal[0], last) @ tangent[0], normal[0] @ last)
        a = -twist * np.linspace(0, 1, len(normal))[:, None]
        normal = np.cos(a) * normal + np.sin(a) * np.cross(tangent, normal)
    return normal


def sphere(radius: float, sides: int = 96) -> Shape:
    """A sphere about the origin, u around the axis, v from pole to pole."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, sides // 2 + 1)
    profile = np.stack([np.cos(angle), np.sin(angle)], 1) * radius
    profile[[0, -1], 0] = 0
    return lathe([(float(r), float(z)) for r, z in profile], sides)


def waves(
    rng: np.random.Generator, frequency: float, octaves: int = 4, per_octave: int = 10
) -> tuple[Array, Array, Array]:
    """Random plane waves with 1/f amplitudes: directions [K, 3], phases [K], amplitudes [K]."""
    count = octaves * per_octave
    scale = np.repeat(2.0 ** np.arange(octaves), per_octave)
    direction = rng.normal(size=(count, 3))
    direction *= (frequency * scale / np.linalg.norm(direction, axis=1))[:, None]
    return direction, rng.uniform(0, 2 * np.pi, count), 1 / scale / np.sqrt(per_octave)


def displaced(shape: Shape, rng: np.random.Generator, amount: float, frequency: float) -> Shape:
    """Moves the vertices along their direction from the origin by smooth noise of about ``amount``."""
    direction, phase, amplitude = waves(rng, frequency)
    noise = np.sin(shape.vertices @ direction.T + phase) @ amplitude
    radial = shape.vertices / np.maximum(np.linalg.norm(shape.vertices, axis=1, keepdims=True), 1e-9)
    return replace(shape, vertices=shape.vertices + amount * noise[:, None] * radial)


def scaled(shape: Shape, x: float, y: float, z: float) -> Shape:
    return replace(shape, vertices=shape.vertices * (x, y, z))


def leaf(length: float, width: float, droop: float, fold: float = 0.35) -> Shape:
    """A pointed leaf from the origin along +x, folded at its midrib and bending down."""
    t = np.linspace(0, 1, 9)[:, None]
    s = np.linspace(-1, 1, 5)[None, :]
    half = width / 2 * np.sin(np.pi * t**0.75) ** 0.9
    x = length * t + 0 * s
    y = half * s
    z = np.abs(y) * fold - droop * length * t**2
    return grid(np.stack([x, y, z], axis=-1))


def torus_knot(size: float, thickness: float) -> Shape:
    """The (2, 3) torus knot about z."""
    a = np.linspace(0, 2 * np.pi, 320, endpoint=False)
    r = size * (2 + np.cos(3 * a)) / 3
    path = np.stack([r * np.cos(2 * a), r * np.sin(2 * a), size / 2.2 * np.sin(3 * a)], axis=1)
    return tube(path, thickness, 20, closed=True)


def chain_link(length: float, width: float, wire: float) -> Shape:
    """A stadium-shaped link in the xy plane, long along x."""
    a = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    straight = (length - width) / 2
    path = np.stack([width / 2 * np.cos(a) + straight * np.sign(np.cos(a)), width / 2 * np.sin(a), 0 * a], axis=1)
    return tube(path, wire, 10, closed=True)


def joined(shapes: Sequence[Shape]) -> tuple[Array, NDArray[np.int64]]:
    """All shapes as one mesh: vertices [V, 3], faces [F, 3]."""
    offsets = np.cumsum([0, *(len(s.vertices) for s in shapes[:-1])])
    return (
        np.concatenate([s.vertices for s in shapes]),
        np.concatenate([s.faces + o for s, o in zip(shapes, offsets, strict=True)]),
    )
