"""Triangles over a closed border in space."""

from __future__ import annotations

import numpy as np

from nerfkit.mesh.vectors import dot, length

LONGEST = 160  # vertices that one table takes: its work grows with the cube of them
_ANGLE = 0.1  # radians that count as a difference between two dihedral angles
_FORBIDDEN = 1e6


def triangulate(points: np.ndarray, outward: np.ndarray, joined: np.ndarray) -> np.ndarray:
    """Triangles [N - 2, 3] over the closed border of N points [N, 3], indices into it, that turn as it does.

    Of all triangulations the one whose sharpest fold is the flattest, towards the surface around it as well, and among
    those the one of least area (Liepa, "Filling Holes in Meshes", SGP 2003, section 3). Borders of more than
    ``LONGEST`` points are first parted at chords that are short for what they cut off.

    Args:
        points: [N, 3] in order.
        outward: [N, 3] unit normals of the surface's faces at the edges from each point to the next; 0 for an edge
            without a face.
        joined: [N, N] bool: pairs of points between which there is an edge already, and can be no chord.
    """
    triangles: list[np.ndarray] = []
    parts = [np.arange(len(points))]
    while parts:
        part = parts.pop()
        if len(part) > LONGEST and (chord := _shortest_chord(points[part], joined[np.ix_(part, part)])):
            i, j = chord
            parts += [part[i : j + 1], np.r_[part[j:], part[: i + 1]]]
            continue
        along = np.where((np.roll(part, -1) == (part + 1) % len(points))[:, None], outward[part], 0)
        triangles.append(part[_table(points[part], along, joined[np.ix_(part, part)])])
    return np.concatenate(triangles)


def _shortest_chord(points: np.ndarray, joined: np.ndarray) -> tuple[int, int] | None:
    """The chord that is the shortest in relation to the shorter of the two borders that it makes."""
    n = len(points)
    step = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    at = np.r_[0, np.cumsum(step)]
    best, found = np.inf, None
    for i in range(n - 2):
        j = np.arange(i + n // 6, min(n, i + n - n // 6))
        j = j[~joined[i, j]]
        if not len(j):
            continue
        arc = at[j] - at[i]
        ratio = np.linalg.norm(points[j] - points[i], axis=1) / np.maximum(np.minimum(arc, at[-1] - arc), 1e-30)
        if ratio.min() < best:
            best, found = ratio.min(), (i, int(j[ratio.argmin()]))
    return found


def _table(points: np.ndarray, outward: np.ndarray, joined: np.ndarray) -> np.ndarray:
    """Dynamic programming over all stretches i..k of the border; one gap k - i after the other, all i at once."""
    n = len(points)
    fold, area = np.zeros((n, n)), np.zeros((n, n))
    apex = np.full((n, n), -1)
    # normal of the triangle that lies on chord (i, k), towards the stretch; of the surface for the border's own edges
    normal = np.zeros((n, n, 3))
    normal[np.arange(n - 1), np.arange(1, n)] = outward[:-1]
    whole = max(float(np.ptp(points, axis=0).max()) ** 2 * n, 1e-300)
    for gap in range(2, n):
        i = np.arange(n - gap)[:, None]
        k = i + gap
        m = i + np.arange(1, gap)
        # the border runs as the surface's faces do: the fill turns the other way
        cross = np.cross(points[k] - points[i], points[m] - points[i])  # [n - gap, gap - 1, 3]
        size = length(cross)
        unit = cross / np.maximum(size, 1e-300)[..., None]
        sharpest = np.maximum(fold[i, m], fold[m, k])
        sharpest = np.maximum(sharpest, _angle(unit, normal[i, m]))
        sharpest = np.maximum(sharpest, _angle(unit, normal[m, k]))
        if gap == n - 1:
            sharpest = np.maximum(sharpest, _angle(unit, outward[-1]))
        sharpest = sharpest + np.where(size > 1e-12 * whole / n, 0, np.pi)  # triangles without area only in need
        if gap < n - 1:
            sharpest = sharpest + np.where(joined[i, k], _FORBIDDEN, 0)
        total = area[i, m] + area[m, k] + size / 2
        best = (np.round(sharpest / _ANGLE) + total / whole).argmin(1)
        row = np.arange(n - gap)
        fold[row, row + gap], area[row, row + gap] = sharpest[row, best], total[row, best]
        apex[row, row + gap], normal[row, row + gap] = m[row, best], unit[row, best]
    triangles, stretches = [], [(0, n - 1)]
    while stretches:
        start, end = stretches.pop()
        if end - start < 2:
            continue
        tip = int(apex[start, end])
        triangles.append((start, end, tip))
        stretches += [(start, tip), (tip, end)]
    return np.array(triangles)


def _angle(unit: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Between unit normals [..., 3], where the other isn't 0."""
    angle: np.ndarray = np.arccos(np.clip(dot(unit, other), -1, 1))
    return np.where(dot(other, other) > 0, angle, 0)
