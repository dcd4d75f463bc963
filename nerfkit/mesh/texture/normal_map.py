"""Dense mesh → tangent-space normal map of a light one."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from nerfkit.contracts import Mesh, RenderCore
from nerfkit.mesh.geometry import face_crosses, vertex_normals
from nerfkit.mesh.requirements import require
from nerfkit.mesh.texture.tangents import tangents
from nerfkit.mesh.texture.texels import Texels, texels_of
from nerfkit.mesh.vectors import dot, unit
from nerfkit.threads import in_order, pictures_at_once

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FACES = 6  # of the dense mesh that are looked at for the point nearest to a texel
_CHUNK = 1 << 18  # texels at once
_REACH = 0.02  # of the light mesh's diagonal: what is further away is another surface
_AGREE = 0.2  # cosine between the normals of what can be one surface
_STEEPEST = 0.1  # z of the flattest normal that a map holds
_PADDING = 16  # texels of 1024, around charts


def bake_normals(
    light: Mesh, dense: Mesh, size: int, *, texels: Texels | None = None, core: RenderCore | None = None
) -> NDArray[np.uint8]:
    """The shape of ``dense`` as a normal map [size, size, 3] of ``light``, both in one frame.

    Each texel holds the smooth normal at the point of the dense mesh that is nearest to the texel's, in the frame of
    the light mesh's interpolated normal, tangent and bitangent (:func:`tangents.tangents`), as a shader puts it
    together again: red along u, green along v (upwards: "OpenGL", as glTF), blue outwards; 128 is zero. Where
    the dense mesh has nothing near that looks the same way, the map is flat. Charts are padded with their rim's values.

    Args:
        light: with ``uvs``, whose normals, if it has any, are those it will be drawn with.
        dense: the mesh it was simplified from.
        size: of the map in texels.
        texels: those of ``light`` at this size, where they are known.
        core: whose operator finds them otherwise.
    """
    texels = texels or texels_of(light, size, core)
    tangent = tangents(light)
    own = light.normals if light.normals is not None else vertex_normals(light)
    frames = np.concatenate([own, tangent], 1)
    lookup = _Dense(dense, _REACH * float(np.linalg.norm(np.ptp(light.vertices, axis=0))))

    def of_part(start: int) -> np.ndarray:
        part = texels.part(slice(start, start + _CHUNK))
        frame = part.interpolate(light, frames)
        normal = frame[:, :3]
        found = lookup.normals(part.positions(light), normal)
        local = _in_frame(found, normal, frame[:, 3:6], np.where(frame[:, 6:] < 0, -1, 1))
        local[:, 2] = np.maximum(local[:, 2], _STEEPEST)
        return np.round(unit(local) * 127 + 128).astype(np.uint8)

    with closing(in_order(of_part, range(0, len(texels), _CHUNK), pictures_at_once(_CHUNK))) as parts:
        encoded = np.concatenate([np.zeros((0, 3), np.uint8), *parts])
    return _padded(texels, encoded)


class _Dense:
    """The surface of a mesh, to be asked for the normals nearest to points."""

    def __init__(self, mesh: Mesh, reach: float) -> None:
        self.corners = mesh.vertices.astype(np.float32)[mesh.faces]
        normals = mesh.normals if mesh.normals is not None else vertex_normals(mesh)
        self.normals_at_corners = normals.astype(np.float32)[mesh.faces]
        crosses = face_crosses(mesh)
        self.face_normals = unit(crosses, 1e-300).astype(np.float32)
        self.tree = require("scipy.spatial").cKDTree(self.corners.mean(1), balanced_tree=False)
        self.reach = reach

    def normals(self, points: np.ndarray, like: np.ndarray) -> np.ndarray:
        """Unit normals [P, 3] at the places nearest to points [P, 3] that look as the normals ``like``, or ``like``."""
        count = min(_FACES, len(self.corners))
        _, face = self.tree.query(points, k=count, workers=-1)
        face = np.asarray(face).reshape(len(points), count)
        best = np.full(len(points), np.float32(self.reach) ** 2)
        found = like.copy()
        for column in face.T:
            a, b, c = self.corners[column].transpose(1, 0, 2)
            w = _nearest_in_face(points, a, b, c)
            distance = _squares(w[:, :1] * a + w[:, 1:2] * b + w[:, 2:] * c - points)
            closer = (distance < best) & (dot(self.face_normals[column], like) > _AGREE)
            best[closer] = distance[closer]
            found[closer] = np.einsum("pk,pkd->pd", w[closer], self.normals_at_corners[column[closer]])
        return unit(found, 1e-12)


def _nearest_in_face(p: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Barycentric coordinates [P, 3] of the points of triangles nearest to p (Ericson, 5.1.5, without branches)."""
    ab, ac, bc = b - a, c - a, c - b
    ap, bp = p - a, p - b

    def on_edge(offset: np.ndarray, edge: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        s = np.clip(dot(offset, edge) / np.maximum(dot(edge, edge), 1e-30), 0, 1)
        return s, _squares(offset - s[:, None] * edge)

    d11, d12, d22 = dot(ab, ab), dot(ab, ac), dot(ac, ac)
    e1, e2 = dot(ap, ab), dot(ap, ac)
    size = d11 * d22 - d12 * d12
    safe = np.where(size > 1e-30, size, 1)
    v, w = (d22 * e1 - d12 * e2) / safe, (d11 * e2 - d12 * e1) / safe
    inside = (size > 1e-30) & (v >= 0) & (w >= 0) & (v + w <= 1)
    edges = [on_edge(ap, ab), on_edge(ap, ac), on_edge(bp, bc)]
    which = np.argmin([distance for _, distance in edges], axis=0)
    s, zero = np.choose(which, [s for s, _ in edges]), np.zeros_like(v)
    v = np.where(inside, v, np.choose(which, [s, zero, 1 - s]))
    w = np.where(inside, w, np.choose(which, [zero, s, s]))
    return np.stack([1 - v - w, v, w], 1)


def _squares(vectors: np.ndarray) -> np.ndarray:
    return dot(vectors, vectors)


def _in_frame(vector: np.ndarray, normal: np.ndarray, tangent: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """x, y, z [P, 3] with vector ~ x tangent + y sign cross(normal, tangent) + z normal, for axes not quite square."""
    bitangent = sign * np.cross(normal, tangent)
    # rows of the inverse (Cramer), up to the determinant, which is positive here up to the sign
    x = np.cross(bitangent, normal)
    y = np.cross(normal, tangent)
    z = np.cross(tangent, bitangent)
    local = np.stack([dot(row, vector) for row in (x, y, z)], 1)
    determinant = dot(x, tangent)[:, None]
    flat = np.abs(determinant) < 1e-12
    local = np.where(flat, [0.0, 0.0, 1.0], local * np.where(determinant < 0, -1, 1))
    return unit(local, 1e-12)


def _padded(texels: Texels, encoded: np.ndarray) -> np.ndarray:
    """The map with the nearest texel's value around charts, flat further away."""
    ndimage = require("scipy.ndimage")
    size = texels.size
    known = np.zeros(size * size, bool)
    known[texels.index] = True
    image = np.full((size * size, 3), (128, 128, 255), np.uint8)
    image[texels.index] = encoded
    distance, nearest = ndimage.distance_transform_edt(~known.reshape(size, size), return_indices=True)
    near = distance <= max(2, _PADDING * size // 1024)
    rows, columns = nearest
    padded: np.ndarray = image.reshape(size, size, 3)
    padded[near] = padded[rows[near], columns[near]]
    return padded
