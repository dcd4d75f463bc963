"""Mesh with texture coordinates + photos → texture.

Two walks over the training photos, a few in memory at a time. The first asks every photo for the colours of points
spread over the surface, from which follow the photos' exposures, their sharpness, and where each of them disagrees
with the others. The second blends with weights (by angle, pixels per area, distance from edges of depth, sharpness,
agreement) whose power favours the few best photos of each texel, and which change smoothly over the surface, so that
the photos' borders don't show (Buehler et al. 2001, "Unstructured Lumigraph Rendering", section 4). Held-out photos
are never asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from nerfkit import limits
from nerfkit.contracts import Mesh, RenderCore, SceneModel
from nerfkit.errors import NerfkitError
from nerfkit.mesh.draw import projected
from nerfkit.mesh.geometry import face_crosses
from nerfkit.mesh.options import TextureOptions
from nerfkit.mesh.texture import exposure
from nerfkit.mesh.texture.fill import fill_unseen, pad
from nerfkit.mesh.texture.photo import Photo, Points, Seen, load_photo, photos_at_once
from nerfkit.mesh.texture.refine import Fit
from nerfkit.mesh.texture.seams import level_seams, seam_differences, seam_edges
from nerfkit.mesh.texture.texels import Texels, texels_of
from nerfkit.mesh.texture.unwrap import charts_of
from nerfkit.progress import ProgressSink, quiet
from nerfkit.threads import in_order

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

SIZES = (1024, 2048, 4096)  # those that are chosen from
_USED = 0.6  # share of a texture that charts fill
_POINTS = 60_000  # of the survey
_BEST = 2  # power of the weights: the higher, the fewer photos a texel is made of
_FAINT = 2e-5  # of the best weight on the surface: texels seen worse than this fade to made-up colours

_Found = TypeVar("_Found")  # what a look at a photo finds


@dataclass(frozen=True)
class Baked:
    """A texture, and what is to be known about it."""

    texture: np.ndarray  # [S, S, 3] uint8, first row at v = 1
    seen: np.ndarray  # [S, S] bool: texels of the surface that photos saw
    tables: list[np.ndarray]  # of each training photo [3, 256]: what its values are changed to, to be made alike
    facts: dict[str, float]
    """``size``; ``photos``; ``seen``, the share of the surface's texels that photos see; ``exposure_stops``, the range
    of the photos' exposures; ``outliers``, the share of all sightings that were left out for the most part;
    ``seam_difference``, the mean difference of colours across the borders of charts (0..255)."""


def bake(
    mesh: Mesh,
    scene: Scene,
    options: TextureOptions | None = None,
    model: SceneModel | None = None,
    progress: ProgressSink = quiet,
    *,
    core: RenderCore | None = None,
) -> Baked:
    """Bakes the training photos of a scene, and no others, into a texture.

    Args:
        mesh: with ``uvs``, in the scene's frame; its ``colors``, if any, are shown where no photo sees it.
        scene: whose training photos are taken.
        options: size, number of refining passes, photos or the model's renders.
        model: with ``options.texture`` "model" what is shown in place of the photos.
        progress: hears of the stage ``texture``.
        core: whose operator draws; by default the best one of the CPU.

    Raises:
        NerfkitError: a mesh without texture coordinates, a size that can't be, or a scene without training photos.
    """
    options = options or TextureOptions()
    if mesh.uvs is None:
        raise NerfkitError("the mesh has no texture coordinates; unwrap it first")
    if not scene.train:
        raise NerfkitError(f"{scene.name}: has no training photos to take colours from")
    size = texture_size(mesh, scene, options)
    job = _Job(mesh, scene, texels_of(mesh, size, _core(core)), _core(core), options, model, progress)
    gains = job.survey()
    colors, weight = job.blend()
    job.forget_points()
    faint = weight / (_FAINT * max(float(np.quantile(weight, 0.9)), 1e-30))
    seen = faint > 0
    if options.refine:
        colors = job.refine(colors, seen)
    made_up = fill_unseen(mesh, job.texels, colors, faint >= 1)
    share = np.minimum(faint, 1)[:, None]
    colors = share * colors + (1 - share) * made_up
    colors = level_seams(mesh, job.texels, colors)
    filled = job.texels.image(np.ones(len(job.texels), bool), False)
    texture = pad(job.texels.image(colors.round().astype(np.uint8)), filled)
    progress("texture", job.steps, job.steps)
    edges = seam_edges(mesh)
    facts = {
        "size": size,
        "photos": len(scene.train),
        "seen": float(seen[job.texels.inside].mean()) if job.texels.inside.any() else 0.0,
        "exposure_stops": float(np.ptp(gains.mean(1)) / math.log(2)),
        "outliers": job.outliers,
        "seam_difference": float(np.abs(seam_differences(mesh, texture, edges)).mean()) if len(edges) else 0.0,
    }
    return Baked(texture, job.texels.image(seen & job.texels.inside, False), job.tables, facts)


def texture_size(mesh: Mesh, scene: Scene, options: TextureOptions) -> int:
    """The side of the texture in texels: the options', or as many texels as the best photos have pixels on it.

    Needs no texture coordinates.

    Raises:
        NerfkitError: a size below 256 or above 8192.
    """
    size = options.texture_size
    if size is not None:
        limits.check(options)
        return size
    corners = mesh.vertices[mesh.faces].astype(np.float64)
    centers = corners.mean(1)
    crosses = face_crosses(mesh)
    area = np.linalg.norm(crosses, axis=1) / 2
    normals = crosses / np.maximum(2 * area, 1e-300)[:, None]
    best = np.zeros(len(centers))  # pixels per area
    for index in scene.train:
        camera = scene.views[index].camera
        u, v, z = projected(centers, camera).double().numpy().T
        towards = camera.world_from_cam[0, :3, 3].double().numpy() - centers
        cosine = (towards * normals).sum(1) / np.maximum(np.linalg.norm(towards, axis=1), 1e-12)
        inside = (z > 0) & (u > 0) & (v > 0) & (u < camera.width) & (v < camera.height)
        focal = float(camera.intrinsics[0, :2].mean())
        density = np.where(inside, np.maximum(cosine, 0) * (focal / np.where(z > 0, z, 1)) ** 2, 0)
        best = np.maximum(best, density)
    wanted = math.sqrt(float((area * best).sum()) / _USED)
    return next((candidate for candidate in SIZES if candidate >= 0.8 * wanted), SIZES[-1])


def _core(core: RenderCore | None) -> RenderCore:
    if core is not None:
        return core
    from nerfkit.core import choose_core

    return choose_core()


class _Job:
    """The walks over the photos."""

    def __init__(
        self, mesh: Mesh, scene: Scene, texels: Texels, core: RenderCore, options: TextureOptions,
        model: SceneModel | None, progress: ProgressSink,
    ) -> None:  # fmt: skip
        self.mesh, self.scene, self.texels, self.core, self.progress = mesh, scene, texels, core, progress
        self.passes = options.refine
        self.model = model if options.texture == "model" else None
        if options.texture == "model" and model is None:
            raise NerfkitError("a texture of the model's renders needs the model")
        self.points = Points.of(texels.positions(mesh), texels.normals(mesh))
        self.steps, self.done = (2 + self.passes) * len(scene.train), 0
        self.tables: list[np.ndarray] = []  # once the survey is done
        self.sharpness = np.ones(len(scene.train))
        self.point_of, self.belief = np.zeros(len(texels), np.int32), np.ones((len(scene.train), 1), np.uint8)
        self.outliers = 0.0

    def walk(self, look: Callable[[int, Photo], _Found], add: Callable[[int, _Found], None]) -> None:
        """Looks at all photos, some at the same time, and adds up what it finds, one after the other, in order."""

        def one(number: int) -> _Found:
            view, table = self.scene.views[self.scene.train[number]], self.tables[number] if self.tables else None
            return look(number, load_photo(view, self.mesh, self.core, table, self.model))

        at_once = photos_at_once(self.scene) if self.model is None else 1  # a model may fill the memory with each
        with closing(in_order(one, range(len(self.scene.train)), at_once)) as looks:
            for number, found in enumerate(looks):
                self.progress("texture", self.done, self.steps)
                add(number, found)
                self.done += 1

    def survey(self) -> np.ndarray:
        """Asks all photos for points spread over the surface. Gives the photos' gains [V, 3]."""
        chosen, self.point_of = _spread(self.mesh, self.texels)
        points = self.points[torch.from_numpy(chosen)]
        views, count = len(self.scene.train), len(chosen)
        color = np.zeros((views, count, 3), np.uint8)
        weight, detail = np.zeros((2, views, count), np.float32)

        def add(number: int, seen: Seen) -> None:
            color[number, seen.point] = seen.smooth.round().clamp(0, 255).to(torch.uint8).T.numpy()
            weight[number, seen.point] = seen.weight.numpy()
            detail[number, seen.point] = (seen.sharp - seen.smooth).abs().mean(0).numpy()

        self.walk(lambda number, photo: photo.look(points, smooth=True), add)
        found = exposure.Survey(color, weight, detail)
        gains = exposure.solve_gains(found)
        tables = np.stack([exposure.table_of(gain) for gain in gains])
        self.tables = list(tables)
        self.sharpness = exposure.sharpness(found)
        belief = exposure.agreement(found, tables)
        self.outliers = float((weight * (belief < 0.5)).sum() / max(float(weight.sum()), 1e-30))
        self.belief = np.maximum(255 * belief, 1).astype(np.uint8)
        return gains

    def blend(self) -> tuple[np.ndarray, np.ndarray]:
        """Colours [T, 3] and the weights they rest on [T]."""
        count = len(self.texels)
        total, steep_total, *mixed = torch.zeros(5, count)
        point_of, scale = torch.from_numpy(self.point_of), self._usual_weight()

        def look(number: int, photo: Photo) -> tuple[Tensor, ...]:
            seen = photo.look(self.points)
            belief = torch.from_numpy(self.belief[number])[point_of[seen.point]].float() / 255
            weight = seen.weight * belief * (float(self.sharpness[number]) / scale)
            steep = weight**_BEST
            return seen.point, weight, steep, *(steep * seen.sharp)

        def add(number: int, found: tuple[Tensor, ...]) -> None:
            point, *parts = found
            for sums, part in zip((total, steep_total, *mixed), parts, strict=True):
                sums.index_add_(0, point, part)

        self.walk(look, add)
        colors = torch.stack(mixed, 1) / steep_total.clamp_min(1e-30)[:, None]
        return colors.numpy(), total.numpy()

    def forget_points(self) -> None:
        """Gives back what only the survey and blending look at; of the largest textures that is gigabytes."""
        self.points = Points.of(*np.zeros((2, 0, 3), np.float32))
        self.point_of = np.zeros(0, np.int32)

    def _usual_weight(self) -> float:
        """Of a photo that looks straight at the focus, so that powers of weights stay within the numbers there are."""
        cameras = [self.scene.views[index].camera for index in self.scene.train]
        focal = max(float(camera.intrinsics[0, :2].mean()) for camera in cameras)
        nearest = min(float(camera.world_from_cam[0, :3, 3].norm()) for camera in cameras)
        return float((focal / max(nearest, 1e-3)) ** 2)

    def refine(self, colors: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Colours [T, 3], changed in place, fitted to the photos; unseen texels keep theirs."""
        fit = Fit(self.mesh, torch.from_numpy(self.texels.image(colors)))
        for _ in range(self.passes):
            self.walk(lambda number, photo: fit.compare(photo), lambda number, errors: fit.add(errors))
            fit.step()
        for channel in range(3):
            colors[seen, channel] = fit.texture.numpy()[self.texels.index[seen], channel]
        return colors


def _spread(mesh: Mesh, texels: Texels) -> tuple[np.ndarray, np.ndarray]:
    """Texels [M] spread over the surface, one in each block of a chart, and for all texels [T] which stands for it."""
    inside = max(1, int(texels.inside.sum()))
    block = max(1, math.ceil(math.sqrt(inside / _POINTS)))
    across = texels.size // block + 1
    row, column = texels.index // texels.size // block, texels.index % texels.size // block
    chart = charts_of(mesh)[texels.face].astype(np.int64)
    _, chosen, point_of = np.unique((chart * across + row) * across + column, return_index=True, return_inverse=True)
    return chosen, point_of.reshape(-1).astype(np.int32)
