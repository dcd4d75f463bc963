"""The texels of a mesh's texture: which point of the surface each of them stands for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from nerfkit.contracts import Mesh, RenderCore
from nerfkit.mesh.draw import interpolate
from nerfkit.mesh.geometry import vertex_normals
from nerfkit.mesh.sample import texel_coordinates

_RIM = 2  # rings of texels around the charts that get a point too: bilinear lookups near a chart's edge reach them


@dataclass(frozen=True)
class Texels:
    """The T texels of an S x S texture that show the mesh, row by row, each with its point on a face.

    Texels around a chart, whose centres lie beside its faces, have points on the edge of the face beside them: beyond
    it, where the surface turns, there would be nothing.
    """

    size: int  # S
    index: np.ndarray  # [T] int64, row * S + column; the first row is the top one (v = 1)
    face: np.ndarray  # [T] int32
    barycentrics: np.ndarray  # [T, 3] float32; sum is 1
    inside: np.ndarray  # [T] bool: the centre lies in the face

    def __len__(self) -> int:
        return len(self.index)

    def part(self, chosen: slice) -> Texels:
        """Some of them."""
        return Texels(self.size, self.index[chosen], self.face[chosen], self.barycentrics[chosen], self.inside[chosen])

    def interpolate(self, mesh: Mesh, values: np.ndarray) -> np.ndarray:
        """Values [V, C] of the mesh's vertices at the texels: [T, C] float32."""
        out: np.ndarray = interpolate(mesh, values, self.face, torch.from_numpy(self.barycentrics)).numpy()
        return out

    def positions(self, mesh: Mesh) -> np.ndarray:
        """[T, 3] float32, in the mesh's frame."""
        return self.interpolate(mesh, mesh.vertices)

    def normals(self, mesh: Mesh) -> np.ndarray:
        """[T, 3] float32 unit, smooth over faces."""
        own = mesh.normals if mesh.normals is not None else vertex_normals(mesh)
        found = self.interpolate(mesh, own)
        unit: np.ndarray = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        return unit

    def image(self, values: np.ndarray, empty: float = 0) -> np.ndarray:
        """Values [T, C] or [T] as a texture [S, S, C] or [S, S], with ``empty`` where there is no texel."""
        out = np.full((self.size * self.size, *values.shape[1:]), empty, values.dtype)
        out[self.index] = values
        return out.reshape(self.size, self.size, *values.shape[1:])


def texels_of(mesh: Mesh, size: int, core: RenderCore | None = None) -> Texels:
    """The texels of a ``size`` x ``size`` texture of a mesh with texture coordinates, and two rings around its charts.

    A face that is too small to hold any texel's centre gets the texel it lies in, if no other face has it.

    Args:
        mesh: with ``uvs``.
        size: S, in texels.
        core: whose operator draws; by default the best one of the CPU.
    """
    if core is None:
        from nerfkit.core import choose_core

        core = choose_core()
    assert mesh.uvs is not None
    places = texel_coordinates(np.asarray(mesh.uvs, np.float64), size, size)  # [V, 2]
    flat = torch.from_numpy(np.concatenate([places, np.ones((len(places), 1))], 1)).float()
    drawn = core.draw_mesh(flat, torch.from_numpy(np.ascontiguousarray(mesh.faces, np.int32)), size, size)
    owner, inside = drawn.face.numpy(), drawn.face.numpy() >= 0
    owner = owner.copy()
    _place_small_faces(mesh, places, owner)
    for _ in range(_RIM):
        _grow(owner)
    index = np.flatnonzero(owner.reshape(-1) >= 0)
    face, within = owner.reshape(-1)[index], inside.reshape(-1)[index]
    barycentrics = drawn.barycentrics.numpy().reshape(-1, 3)[index]
    beside = np.flatnonzero(~within)
    barycentrics[beside] = _on_edge(places[mesh.faces[face[beside]]], index[beside], size)
    return Texels(size, index, face, barycentrics, within)


def _place_small_faces(mesh: Mesh, places: np.ndarray, owner: np.ndarray) -> None:
    lost = np.ones(len(mesh.faces), bool)
    lost[owner[owner >= 0]] = False
    number = np.flatnonzero(lost)[::-1]  # of several in one texel the first
    center = places[mesh.faces[number]].mean(1)
    column, row = (np.clip(np.nan_to_num(c), 0, len(owner) - 1).astype(np.int64) for c in center.T)
    free = owner[row, column] < 0
    owner[row[free], column[free]] = number[free]


def _grow(owner: np.ndarray) -> None:
    """Gives empty texels [S, S] beside others the face of one of them, those at the side before those at the corner."""
    before = owner.copy()
    padded = np.pad(before, 1, constant_values=-1)
    size = len(owner)
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        neighbour = padded[1 + dy : 1 + dy + size, 1 + dx : 1 + dx + size]
        np.copyto(owner, neighbour, where=(owner < 0) & (neighbour >= 0))


def _on_edge(corners: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """Barycentric coordinates [P, 3] of points on the edges of faces [P, 3, 2], near texel centres outside of them."""
    x, y = index % size + 0.5, index // size + 0.5
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    safe = np.where(np.abs(area) < 1e-9, np.inf, area)  # of a face without area: its first corner
    wb = ((x - a[:, 0]) * (c - a)[:, 1] - (y - a[:, 1]) * (c - a)[:, 0]) / safe
    wc = ((b - a)[:, 0] * (y - a[:, 1]) - (b - a)[:, 1] * (x - a[:, 0])) / safe
    weights = np.clip(np.stack([1 - wb - wc, wb, wc], 1), 0, 1)
    unit: np.ndarray = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return unit
