"""Texture coordinates: the surface is cut into charts that lie flat, packed into one square (by xatlas).

What xatlas takes grows with the square of the number of charts in a connected surface, and with that of the faces in a
chart. So the surface is cut into regions, each of which is charted for itself, by several processes; and the larger the
mesh, the smaller its charts. All charts are then packed together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.errors import NerfkitError
from nerfkit.machine import cores
from nerfkit.mesh.geometry import face_crosses, with_vertices
from nerfkit.mesh.requirements import require
from nerfkit.mesh.shape.topology import components, edges, half_edges
from nerfkit.mesh.texture import atlas
from nerfkit.mesh.texture.flatten import to_scale
from nerfkit.mesh.texture.helpers import Helpers
from nerfkit.mesh.texture.regions import regions
from nerfkit.progress import ProgressSink, quiet

VERSION = 2  # of what comes out for a mesh; another one makes it anew

_SLIM = 1e-9  # a face's height over its longest side: less is rounding
_REGION = 10_000  # faces that are charted together
_FEW = 2_000  # faces that take less time than beginning a process
_GAP = 4  # texels around each chart, so 8 between two: smaller copies of the texture mix nothing down to an eighth
_FULL, _AIM = 0.965, 0.985  # of the texture's side is good enough, and is aimed at
_PASSES = 5
_SMALL = 2048  # textures up to this side are packed at half a texel, as xatlas widens charts to whole ones
_USED = 0.64  # of the square, charts with their rims take up about so much
_LEAST = 0.25  # of the square is for charts themselves; where gaps would take more, they are made narrower
_RIM = 3.0  # texels along charts' borders that nothing else can use, for gaps and for whole texels

Ask = Callable[[str, list[tuple[Any, ...]]], list[Any]]


def unwrap(mesh: Mesh, size: int = 2048, progress: ProgressSink = quiet) -> Mesh:
    """The mesh with texture coordinates in a square; vertices are doubled where charts end.

    Charts may lie anyhow turned, some of them mirrored, and never over each other; all have about the same number of
    texels per area. Faces without area share whatever texel they fall on. Faces keep their order. The same mesh gets
    the same coordinates, however many cores there are.

    Args:
        mesh: with vertices, faces, and any of colours and normals, which are carried along.
        size: of the texture that will be baked, for the distance of charts.
        progress: hears of the stage ``unwrap``.

    Raises:
        NerfkitError: a mesh without faces or of faces without area, the ``mesh`` extra is not installed, or memory
            ran out.
        KeyboardInterrupt: at once, and no process stays behind.
    """
    require("xatlas")
    if not len(mesh.faces):
        raise NerfkitError("nothing to unwrap: the mesh has no faces")
    if _slim(mesh):
        raise NerfkitError("nothing to unwrap: the mesh's faces have no area")
    if len(mesh.faces) <= _FEW:
        return _unwrapped(mesh, size, [np.arange(len(mesh.faces))], _here)
    parts = regions(mesh.vertices, mesh.faces, _REGION)
    told = _Told(progress, len(parts) + _PASSES)
    with Helpers(cores()) as helpers:
        made = _unwrapped(mesh, size, parts, lambda task, jobs: helpers.ask(task, jobs, told.step))
    told.end()
    return made


def charts_of(mesh: Mesh) -> np.ndarray:
    """The number of each face's chart, [F] int32: faces that share vertices, which are doubled at seams."""
    return components(mesh.faces, len(mesh.vertices)).astype(np.int32)


class _Told:
    """Progress by steps, of which there may be fewer than were foreseen."""

    def __init__(self, progress: ProgressSink, steps: int) -> None:
        self._progress, self._steps, self._done = progress, steps, 0
        progress("unwrap", 0, steps)

    def step(self) -> None:
        self._done += 1
        self._progress("unwrap", self._done, self._steps)

    def end(self) -> None:
        self._progress("unwrap", self._steps, self._steps)


@dataclass(frozen=True)
class _Charts:
    """Charts that lie flat, each anywhere, in units of the surface."""

    vertices: np.ndarray  # [N] of the mesh
    faces: np.ndarray  # [F, 3] of N
    places: np.ndarray  # [N, 2]
    chart: np.ndarray  # [F]


def _here(task: str, jobs: list[tuple[Any, ...]]) -> list[Any]:
    return [atlas.TASKS[task](*job) for job in jobs]


def _unwrapped(mesh: Mesh, size: int, parts: list[np.ndarray], ask: Ask) -> Mesh:
    charts = _charted(mesh, parts, ask)
    texels, side = _packed(charts, size, ask)
    return replace(
        with_vertices(mesh, charts.vertices, charts.faces),
        uvs=np.clip(np.nan_to_num(texels / side), 0, 1).astype(np.float32),
        texture=None,
        normal_map=None,
    )


def _charted(mesh: Mesh, parts: list[np.ndarray], ask: Ask) -> _Charts:
    points = _face_sized(mesh)
    made = ask("charts", [_cut_out(points, mesh.faces[part]) for part in parts])
    faces = np.zeros((len(mesh.faces), 3), np.int64)
    vertices, places, count = [], [], 0
    for part, (index, own, flat) in zip(parts, made, strict=True):
        faces[part] = own + count
        vertices.append(np.unique(mesh.faces[part])[index])
        places.append(flat)
        count += len(index)
    vertex = np.concatenate(vertices)
    chart = components(faces, count)
    return _Charts(vertex, faces, to_scale(points[vertex], faces, np.concatenate(places), chart), chart)


def _face_sized(mesh: Mesh) -> np.ndarray:
    """Vertices [V, 3] float64 in units in which the mean area of a face is 1."""
    points = mesh.vertices - mesh.vertices.mean(0, dtype=np.float64)
    sized: np.ndarray = points / math.sqrt(np.linalg.norm(face_crosses(mesh), axis=1).mean() / 2)
    return sized


def _slim(mesh: Mesh) -> bool:
    """Whether all faces are lines or points: no scale gives them room, and xatlas looks for one without an end."""
    corners = mesh.vertices.astype(np.float64)[mesh.faces]
    longest = ((corners - np.roll(corners, 1, axis=1)) ** 2).sum(2).max(1)
    return bool(np.linalg.norm(face_crosses(mesh), axis=1).sum() <= _SLIM * longest.sum())


def _cut_out(points: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some faces and their points, about their middle, where single precision is finest."""
    used, corner = np.unique(faces, return_inverse=True)
    own = points[used]
    return (own - (own.min(0) + own.max(0)) / 2).astype(np.float32), corner.reshape(-1, 3)


def _packed(charts: _Charts, size: int, ask: Ask) -> tuple[np.ndarray, int]:
    """Places [N, 2] in a square of about ``size`` texels, and its side.

    xatlas packs at a given scale, into a square that comes out as large as it may. So the scale is sought at which
    it comes out as large as the texture; or larger, where that is too small for so many charts.
    """
    needed = _Needed.of(charts)
    while needed.area * needed.scale(_USED * size**2) ** 2 < _LEAST * size**2:
        size += size // 4 + 1
    finer = 2 if size <= _SMALL else 1
    scale, best = needed.scale(_USED * size**2), None
    for _ in range(_PASSES):
        job = charts.places, charts.faces, charts.chart, finer * scale, finer * _GAP
        texels, side = ask("pack", [job])[0]
        if side <= finer * size or best is None or side < best[1]:
            best = texels, side
        filled = side / (finer * size)
        if _FULL <= filled <= 1:
            break
        scale = needed.scale(needed.texels(scale) * (_AIM / filled) ** 2)
    assert best is not None
    return best


@dataclass(frozen=True)
class _Needed:
    """How many texels charts take up at a scale, but for a factor: their areas, with a rim around them."""

    area: float
    border: float
    count: int

    @staticmethod
    def of(charts: _Charts) -> _Needed:
        flat = charts.places[charts.faces]
        along, across = flat[:, 1] - flat[:, 0], flat[:, 2] - flat[:, 0]
        area = np.abs(along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0]).sum() / 2
        found = edges(charts.faces)
        ends = charts.places[half_edges(charts.faces)][found.faces[found.of_half_edge] == 1]
        border = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).sum()
        return _Needed(max(float(area), 1e-30), float(border), int(charts.chart.max()) + 1)

    def texels(self, scale: float) -> float:
        return self.area * scale**2 + self.border * scale * _RIM + self.count * math.pi * _RIM**2

    def scale(self, texels: float) -> float:
        """At which so many are needed."""
        rim = self.border * _RIM
        free = max(texels - self.count * math.pi * _RIM**2, 0.05 * texels)
        return (math.sqrt(rim**2 + 4 * self.area * free) - rim) / (2 * self.area)
