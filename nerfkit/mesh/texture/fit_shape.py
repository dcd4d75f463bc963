"""Vertices fitted to the photos by drawing the textured mesh.

A texture that is blended from many photos is sharp only where the surface is right; elsewhere each photo shows its
pattern a little aside, and silhouettes stand where the photos have them. Vertices are moved along their normals until
the drawn mesh and the photos agree. A vertex that moves shifts what is drawn around it, so that the picture changes by
its own gradient times the shift (also across silhouettes, where what hides the other moves: Loper and Black, "OpenDR",
ECCV 2014, section 4). One Gauss-Newton step a pass, whose prior is the smoothed surface: photos move vertices away from
it, neighbours alike, as if held together by a membrane. Noise of the surface goes where photos say little.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch

from nerfkit.contracts import Cameras, Mesh, RenderCore
from nerfkit.core import choose_core
from nerfkit.mesh.draw import textured
from nerfkit.mesh.geometry import vertex_normals, welded, welded_normals
from nerfkit.mesh.options import TextureOptions
from nerfkit.mesh.requirements import require
from nerfkit.mesh.sample import Pyramid
from nerfkit.mesh.shape.smooth import smooth
from nerfkit.mesh.shape.topology import edges
from nerfkit.mesh.texture.bake import bake
from nerfkit.mesh.texture.photo import Photo, load_photo, photos_at_once
from nerfkit.mesh.vectors import dot
from nerfkit.progress import ProgressSink, quiet
from nerfkit.threads import in_order

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

_EVERY = 2  # passes, over every second photo each, from one texture to the next
_MOST_PHOTOS = 100  # that are looked at: of more, time grows with their number, and hardly anything else
_HUBER = 16.0  # of 255: pixels with larger errors pull no harder; highlights, and what moved
_BLUR = 0.7  # pixels: gradients of less are noise
_IN_FRONT = 0.02  # of the depth: what is nearer than the pixel beside it by more hides it
_BORDER = 3  # pixels of a photo's border that don't count
_STIFF = 1.0  # how strongly neighbours move alike, in what photos say about a usual vertex
_TIED = 0.01  # how strongly a vertex stays on the smoothed surface
_NEAR = 8  # vertices of the finest level that one of a coarser follows
_LONGEST = 1 / 3  # of a usual edge: further no vertex moves in a pass


def fit_shape(
    mesh: Mesh, scene: Scene, passes: int, size: int, smoothing: float = 0.0, core: RenderCore | None = None,
    progress: ProgressSink = quiet,
) -> Mesh:  # fmt: skip
    """The mesh with vertices where its picture fits the training photos best; its faces and texture coordinates stay.

    Args:
        mesh: with ``uvs``, in the scene's frame.
        scene: whose training photos are looked at, of very many some that are evenly spread; held-out ones never.
        passes: steps, each over every second photo.
        size: side of the texture that is used in between; the mesh gets none.
        smoothing: of a noisy surface in each pass, as a strength of :func:`nerfkit.mesh.shape.smooth.smooth`.
        core: whose operator draws; by default the best one of the CPU.
        progress: hears of the stage ``fit``.

    Raises:
        NerfkitError: a mesh without texture coordinates, or a scene without training photos.
    """
    core = core or choose_core()
    scene = _thinned(scene)
    mesh = Mesh(mesh.vertices, mesh.faces, mesh.colors, mesh.normals, mesh.uvs)
    parts = passes + -(-passes // _EVERY)
    finished = 0

    def report(stage: str, done: int, total: int) -> None:
        progress("fit", round(1000 * (finished + done / max(total, 1))), 1000 * parts)

    for number in range(passes):
        if number % _EVERY == 0:
            baked = bake(mesh, scene, TextureOptions(texture_size=size, refine=0), progress=report, core=core)
            texture, finished = Pyramid(baked.texture), finished + 1
        step = _Step(mesh, texture)
        chosen = range(number % _EVERY, len(scene.train), _EVERY)
        with closing(_compared(step, scene, chosen, baked.tables, core)) as compared:
            for count, rows in enumerate(compared):
                report("fit", count, len(chosen))
                step.add(rows)
        mesh.vertices = step.moved(smoothing)
        mesh.normals = welded_normals(mesh)
        finished += 1
    return Mesh(mesh.vertices, mesh.faces, mesh.colors, mesh.normals, mesh.uvs)


def follow(mesh: Mesh, before: Mesh, after: Mesh) -> Mesh:
    """A coarser level of detail, moved as the finest one was from ``before`` to ``after``: so that they fit together.

    A vertex goes as the nearest ones of the finest level did, on average, the nearer ones counting more.
    """
    near = min(_NEAR, len(before.vertices))
    distance, index = require("scipy.spatial").cKDTree(before.vertices).query(mesh.vertices, k=near)
    distance, index = distance.reshape(-1, near), index.reshape(-1, near)
    weights = 1 / np.maximum(distance, 1e-6 * distance.max(initial=1e-30))
    shift = (after.vertices - before.vertices)[index] * (weights / weights.sum(1, keepdims=True))[..., None]
    moved = replace(mesh, vertices=(mesh.vertices + shift.sum(1)).astype(mesh.vertices.dtype))
    return replace(moved, normals=welded_normals(moved))


def _thinned(scene: Scene) -> Scene:
    """The scene with at most so many training photos as are looked at, evenly spread."""
    some, photos = copy.copy(scene), len(scene.train)
    count = min(photos, _MOST_PHOTOS)
    some.train = [scene.train[number * photos // count] for number in range(count)]  # one more isn't half of them
    return some


@dataclass(frozen=True)
class _Rows:
    """What photos say about each of P vertices, moved along its normal."""

    weight: np.ndarray  # [P]
    pull: np.ndarray  # [P]


class _Step:
    """What the photos say about one movement along the normals, of all vertices; those at one place move together."""

    def __init__(self, mesh: Mesh, texture: Pyramid) -> None:
        self.mesh, self.texture = mesh, texture
        whole, self.place_of = welded(mesh)
        self.places, self.faces = whole.vertices, whole.faces
        self.normals = vertex_normals(whole)
        self.weight, self.pull = np.zeros((2, len(self.places)))

    def add(self, rows: _Rows) -> None:
        self.weight += rows.weight
        self.pull += rows.pull

    def compare(self, photo: Photo) -> _Rows:
        """The mesh with a photo that it is drawn into. The same for several at once."""
        camera, drawn = photo.camera, photo.drawn
        target = photo.planes[:3].permute(1, 2, 0).numpy()
        face, depth, shares = drawn.face.numpy(), drawn.depth.numpy(), drawn.barycentrics.numpy()
        row, column = np.nonzero(face >= 0)
        picture = target.copy()  # where the mesh isn't, so that there is no error
        weights = torch.from_numpy(shares[row, column])
        picture[row, column] = textured(self.mesh, self.texture, camera, face[row, column], weights).numpy()
        across, down = _gradient(picture)
        y, x = _front(np.where(face >= 0, depth, np.inf))
        used = (face >= 0) & (photo.trust.numpy() > 0)
        used[:_BORDER], used[-_BORDER:], used[:, :_BORDER], used[:, -_BORDER:] = (False,) * 4
        row, column = np.nonzero(used)
        y, x = y[row, column], x[row, column]  # of the pixel whose surface would move into this one
        error = target[row, column] - picture[row, column]
        trust = np.minimum(1, _HUBER / np.maximum(np.abs(error).max(1), 1e-3))
        across, down = across[row, column], down[row, column]
        # Of a shift by (u, v) pixels, colours change by -(across u + down v): squares and products, summed over r g b.
        uu, uv, vv = dot(across, across), dot(across, down), dot(down, down)
        ue, ve = dot(across, error), dot(down, error)
        corners = self.faces[face[y, x]].T  # [3, P]
        normals = self.normals @ camera.cam_from_world[0, :3, :3].double().numpy().T
        weight, pull = np.zeros((2, len(self.places)))
        for corner, share in zip(corners, shares[y, x].T):
            u, v = _shift(normals, corner, camera, x, y, depth[y, x])
            # rows of the normal equations are added up: a pixel's three corners go together, and shares sum to 1
            believed = trust * share
            changed = uu * (u * u) + 2 * uv * (u * v) + vv * (v * v)
            weight += np.bincount(corner, believed * changed, len(self.places))
            pull -= np.bincount(corner, believed * (ue * u + ve * v), len(self.places))
        return _Rows(weight, pull)

    def moved(self, smoothing: float) -> np.ndarray:
        """The vertices after the step [V, 3]."""
        seen = self.weight > 0
        if not seen.any():
            return self.mesh.vertices
        stiff = _STIFF * float(np.median(self.weight[seen]))
        sparse, linalg = require("scipy.sparse"), require("scipy.sparse.linalg")
        ends = edges(self.faces).ends
        smoothed = smooth(Mesh(self.places, self.faces), smoothing).vertices
        rest = ((smoothed - self.places) * self.normals).sum(1)
        system = sparse.diags(self.weight + _TIED * stiff) + stiff * _membrane(ends, len(self.places), sparse)
        above, _ = linalg.cg(system, self.pull - self.weight * rest, maxiter=200, rtol=1e-3)
        height = rest + above
        usual = float(np.median(np.linalg.norm(self.places[ends[:, 0]] - self.places[ends[:, 1]], axis=1)))
        height = np.clip(height, -_LONGEST * usual, _LONGEST * usual)
        places = self.places + height[:, None] * self.normals
        return places[self.place_of].astype(self.mesh.vertices.dtype)


def _compared(
    step: _Step, scene: Scene, chosen: Iterable[int], tables: Sequence[np.ndarray], core: RenderCore
) -> Generator[_Rows]:
    """What some of the training photos say, one after the other."""

    def compare(index: int) -> _Rows:
        view = scene.views[scene.train[index]]
        return step.compare(load_photo(view, step.mesh, core, tables[index]))

    return in_order(compare, chosen, photos_at_once(scene))


def _membrane(ends: np.ndarray, places: int, sparse: Any) -> Any:
    """The Laplacian [P, P] of the graph of edges [E, 2]."""
    links = sparse.coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), (places, places))
    links = links + links.T
    return sparse.diags(np.asarray(links.sum(1)).ravel()) - links


def _gradient(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Change of a picture [H, W, 3] per pixel along x and along y."""
    smooth = cv2.GaussianBlur(picture, (0, 0), _BLUR)
    return 0.5 * cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1), 0.5 * cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1)


def _front(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column [H, W] of the surface that a pixel's colour depends on: its own, or one beside that hides it."""
    own = np.indices(depth.shape)
    place, nearest = own.copy(), depth.copy()
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        beside = np.roll(depth, step, axis)
        edge = [slice(None), slice(None)]
        edge[axis] = slice(0, 1) if step > 0 else slice(-1, None)
        beside[tuple(edge)] = np.inf
        hides = beside < (1 - _IN_FRONT) * nearest
        nearest = np.where(hides, beside, nearest)
        there = own.copy()
        there[axis] -= step
        place = np.where(hides, there, place)
    return place[0], place[1]


def _shift(
    normals: np.ndarray, corner: np.ndarray, camera: Cameras, x: np.ndarray, y: np.ndarray, depth: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels that points at pixels and depths [P] move by, to the right and down, per unit along a vertex's normal.

    Args:
        normals: [V, 3] in the camera's frame.
        corner: [P] which vertex's.
    """
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    right, down, away = (part[corner] for part in normals.T)
    return (fx * right - (x + 0.5 - cx) * away) / depth, (fy * down - (y + 0.5 - cy) * away) / depth
