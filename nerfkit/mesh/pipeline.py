"""From a model to an asset's meshes: surface → clean → simplify → unwrap → fit → bake → normals; collision shapes.

Every stage is kept with a key of all that it depends on, so that a stopped or changed command goes on from what still
holds. All meshes are in the scene frame; :mod:`nerfkit.mesh.assets.asset` places what comes out.
"""

from __future__ import annotations

import logging
import shutil
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nerfkit.cache import Cache, key_of
from nerfkit.contracts import HasDensity, HasRadiance, Mesh, SceneModel
from nerfkit.errors import NerfkitError
from nerfkit.mesh import geometry, store
from nerfkit.mesh.request import Request
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene
    from nerfkit.mesh.fusion.depth_maps import DepthMaps

log = logging.getLogger("nerfkit")

VERSION = 4  # of the stages' results; another one makes them anew
_OF_DEPTHS = ("depth", "image_scale", "min_alpha", "min_cosine")  # options that depth maps depend on
_OF_CLEANING = ("mode", "ground", "fill_holes", "smooth", "min_component", "min_views", "bounds")
_NOT_OF_SURFACE = ("ground", "fill_holes", "smooth", "min_component", "min_views", "faces")
_COLLISION_PARTS = 16
_SMALLEST_TEXTURE = 256
_FIT_SMOOTHING = 0.04  # of the surface's smoothing, each pass
_FIT_TEXTURE = 2048  # side, at most, of textures that the shape is fitted with


class Pipeline:
    """The stages on one model, each done once for the same inputs.

    Args:
        scene: the scene that the model was trained on.
        model: loads the model; called only where a stage needs it.
        fingerprint: of the model; results of another one are not used.
        request: what the user chose.
        folder: where results are kept.
        progress: hears of every stage.
    """

    def __init__(
        self, scene: Scene, model: Callable[[], SceneModel], fingerprint: str, request: Request, folder: Path,
        progress: ProgressSink = quiet,
    ) -> None:  # fmt: skip
        self.scene, self.request, self.progress = scene, request, progress
        self.seconds: dict[str, float] = {}  # that each stage took when it was done
        self.facts: dict[str, dict[str, Any]] = {}  # what stages tell of their results
        self._load, self._fingerprint = model, fingerprint
        self._model: SceneModel | None = None
        self._cache = Cache(folder)
        self._keys: dict[str, str] = {}
        self._made: dict[str, list[Mesh]] = {}

    @property
    def model(self) -> SceneModel:
        if self._model is None:
            self._model = self._load()
        return self._model

    def result(self, stage: str) -> list[Mesh]:
        """What a stage makes, after the stages it needs: one mesh, or one for each level or collision shape.

        Raises:
            NerfkitError: nothing opaque is seen, no room for it, or nothing is left of it.
        """
        if stage not in self._made:
            meshes: list[Mesh] = getattr(self, f"_{stage}")()
            self._made[stage] = meshes
        return self._made[stage]

    def levels(self) -> list[Mesh]:
        """The finished levels of detail, the finest first: textured, or with colours at their vertices."""
        if not self.request.textured:
            return [_with_normals(mesh) for mesh in self.result("simplify")]
        return self.result("normals" if self.request.texture.normal_map else "bake")

    # --- shape ----------------------------------------------------------------------------------------------

    def _surface(self) -> list[Mesh]:
        options = self.request.mesh
        chosen = {name: value for name, value in asdict(options).items() if name not in _NOT_OF_SURFACE}
        make = self._from_density if options.source == "density" else self._from_depths
        return self._stage("surface", {"model": self._fingerprint, **chosen}, make)

    def _from_depths(self) -> list[Mesh]:
        from nerfkit.core import choose_core
        from nerfkit.mesh.fusion import agreement, density, fuse, surface

        maps, device = self._depths(), density.device_of(self.model)
        core = choose_core(device=device)
        found = agreement.agreement(maps)
        volume = fuse.fuse(maps, self.scene, self.request.mesh, core, device, self.progress, found=found)
        mesh = surface.marching_cubes(volume, self.request.mesh.min_weight, core, offset=self.request.mesh.offset)
        self.facts["surface"] = {
            "noise": found.noise / volume.voxel_size,  # in voxels
            "of_field": isinstance(self.model, HasDensity),
        }
        if isinstance(self.model, HasRadiance):
            mesh.colors = density.color(self.model, mesh)
        return [mesh]

    def _depths(self) -> DepthMaps:
        """The model's depth maps at the training views; they are kept, since other resolutions need them again."""
        from nerfkit.mesh.fusion import fuse
        from nerfkit.mesh.fusion.depth_maps import DepthMaps

        options = self.request.mesh
        key = key_of(version=VERSION, model=self._fingerprint, **{name: getattr(options, name) for name in _OF_DEPTHS})
        folder = self._cache.folder / "depths"
        if self._cache.get("depths", key) is not None and folder.is_dir():
            maps = DepthMaps.open(folder)
            if len(maps) == len(self.scene.train):
                return maps
        self._cache.drop("depths")
        shutil.rmtree(folder, ignore_errors=True)
        start = time.perf_counter()
        # a model that tells the light of single points is asked for the colours of the vertices alone
        colors = not isinstance(self.model, HasRadiance)
        maps = fuse.render_depths(self.model, self.scene, options, folder, self.progress, colors=colors)
        self._cache.put("depths", key, time.perf_counter() - start, {})
        return maps

    def _from_density(self) -> list[Mesh]:
        from nerfkit.mesh.fusion import density

        field = density.evaluate(self.model, self.scene, self.request.mesh, self.progress)
        mesh = density.marching_cubes(field)
        mesh.colors = density.color(self.model, mesh)
        return [mesh]

    def _clean(self) -> list[Mesh]:
        chosen = {name: getattr(self.request.mesh, name) for name in _OF_CLEANING}
        return self._after("surface", "clean", chosen, self._cleaned)

    def _cleaned(self, made: list[Mesh]) -> list[Mesh]:
        from nerfkit.mesh.shape import clean, ground, holes, sightings, smooth, subject

        options, mesh = self.request.mesh, made[0]
        if options.bounds is not None:
            mesh = clean.crop(mesh, options.bounds, self.scene.scene_from_world.inverse())
        mesh = clean.clean(mesh, options.min_component)
        fewest = sightings.usual_views(len(self.scene.train)) if options.min_views == "auto" else options.min_views
        mesh = sightings.drop_unseen(mesh, self.scene, fewest)
        if options.mode == "object":
            mesh = subject.cut_out(mesh, self.scene)
        below = ground.find_ground(mesh) if options.ground == "remove" else None
        if options.ground == "remove" and below is None:
            log.warning("--ground remove: no ground was found under the mesh, so nothing is removed")
        if below is not None:
            mesh = ground.close_contact(ground.remove_ground(mesh, below), below)
        if not len(mesh.faces):
            raise NerfkitError(
                "no surface is left: the bounds hold nothing, or all pieces are small; give other --bounds"
            )
        extent = float(np.ptp(mesh.vertices, axis=0).max())
        mesh = holes.fill_holes(mesh, options.fill_holes * extent)
        return [_with_normals(smooth.smooth(mesh, self._smoothing()))]

    def _smoothing(self) -> float:
        """How strongly the surface is smoothed."""
        from nerfkit.mesh.shape import smooth

        chosen, facts = self.request.mesh.smooth, self.facts["surface"]
        if chosen != "auto":
            return chosen
        return smooth.strength_for(facts.get("noise", 0.0), facts.get("of_field", False))

    def _simplify(self) -> list[Mesh]:
        from nerfkit.mesh.shape import simplify

        count, faces = self.request.levels, self.request.mesh.faces
        chosen = {"levels": count, "faces": faces}
        return self._after("clean", "simplify", chosen, lambda made: simplify.levels(made[0], faces, count))

    def _collision(self) -> list[Mesh]:
        from nerfkit.mesh.assets.collision import collision_shapes

        kind = self.request.collision
        if kind == "none":
            return []
        chosen = {"collision": kind, "parts": _COLLISION_PARTS}
        return self._after(
            "simplify", "collision", chosen,
            lambda made: collision_shapes(made[-1], kind, _COLLISION_PARTS, self.progress),
        )  # fmt: skip

    # --- texture --------------------------------------------------------------------------------------------

    def _unwrap(self) -> list[Mesh]:
        from nerfkit.mesh.texture import unwrap

        if not self.request.textured:
            raise NerfkitError(f"{self.request.suffix} files and --texture none have no texture to unwrap for")

        def make(made: list[Mesh]) -> list[Mesh]:
            pairs = zip(made, self._sizes(made), strict=True)
            return [unwrap.unwrap(mesh, size, self.progress) for mesh, size in pairs]

        chosen = {"size": self.request.texture.texture_size, "charts": unwrap.VERSION}
        return self._after("simplify", "unwrap", chosen, make)

    def _fit(self) -> list[Mesh]:
        passes = self.request.texture.fit if self.request.texture.texture == "photos" else 0
        return self._after(
            "unwrap", "fit", {"model": self._fingerprint, "passes": passes}, lambda m: self._fitted(m, passes)
        )

    def _fitted(self, made: list[Mesh], passes: int) -> list[Mesh]:
        from nerfkit.mesh.texture import fit_shape

        if passes:
            size = min(self._sizes(made)[0], _FIT_TEXTURE)
            smooth = _FIT_SMOOTHING * self._smoothing()
            finest = fit_shape.fit_shape(made[0], self.scene, passes, size, smooth, progress=self.progress)
            return [finest, *(fit_shape.follow(mesh, made[0], finest) for mesh in made[1:])]
        return made

    def _bake(self) -> list[Mesh]:
        chosen = {"texture": self.request.texture.texture, "refine": self.request.texture.refine}
        return self._after("fit", "bake", {"model": self._fingerprint, **chosen}, self._baked)

    def _baked(self, made: list[Mesh]) -> list[Mesh]:
        from nerfkit.mesh.texture import bake

        options = self.request.texture
        model = self.model if options.texture == "model" else None
        for level, (mesh, size) in enumerate(zip(made, self._sizes(made), strict=True)):
            done = bake.bake(mesh, self.scene, replace(options, texture_size=size), model, self.progress)
            mesh.texture = done.texture
            if level == 0:
                self.facts["bake"] = done.facts
        return made

    def _normals(self) -> list[Mesh]:
        from nerfkit.mesh.texture import normal_map

        def make(made: list[Mesh]) -> list[Mesh]:
            dense = self.result("clean")[0]
            for mesh in made:
                assert mesh.texture is not None
                mesh.normal_map = normal_map.bake_normals(mesh, dense, len(mesh.texture))
            return made

        return self._after("bake", "normals", {}, make)

    def _sizes(self, levels: Sequence[Mesh]) -> list[int]:
        """Of the levels' textures: half of the one before, as a quarter of the faces is seen from twice as far."""
        from nerfkit.mesh.texture import bake

        first = bake.texture_size(levels[0], self.scene, self.request.texture)
        return [max(first >> level, min(first, _SMALLEST_TEXTURE)) for level in range(len(levels))]

    # --- keeping --------------------------------------------------------------------------------------------

    def _after(
        self, before: str, stage: str, chosen: dict[str, Any], make: Callable[[list[Mesh]], Sequence[Mesh]]
    ) -> list[Mesh]:
        """A stage that works on what another one made; on copies, which it may change."""
        made = self.result(before)
        inputs = {"before": self._keys[before], **chosen}
        return self._stage(stage, inputs, lambda: make([replace(mesh) for mesh in made]))

    def _stage(self, stage: str, inputs: dict[str, Any], make: Callable[[], Sequence[Mesh]]) -> list[Mesh]:
        """The kept result of a stage, or a new one where its inputs have changed or its file is damaged."""
        key = self._keys[stage] = key_of(version=VERSION, **inputs)
        file, record = self._cache.folder / f"{stage}.npz", self._cache.get(stage, key)
        if record is not None:
            try:
                meshes = store.load(file)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                log.info("%s: is damaged, and made anew", file)
            else:
                self.seconds[stage], self.facts[stage] = record["seconds"], record["result"]
                return meshes
        self._cache.drop(stage)
        self.progress(stage, 0, 1)
        start = time.perf_counter()
        meshes = list(make())
        store.save(file, meshes)
        record = self._cache.put(stage, key, time.perf_counter() - start, self.facts.get(stage, {}))
        self.seconds[stage], self.facts[stage] = record["seconds"], record["result"]
        self.progress(stage, 1, 1)
        return meshes


def _with_normals(mesh: Mesh) -> Mesh:
    return replace(mesh, normals=geometry.vertex_normals(mesh))
