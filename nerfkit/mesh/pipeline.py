"""From a run to an asset: surface → clean → simplify → unwrap → bake → normals → collision; every stage is kept.

All meshes are in the scene frame; :mod:`nerfkit.mesh.asset` places what comes out.
"""

from __future__ import annotations

import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nerfkit.cache import Cache, key_of
from nerfkit.contracts import Mesh, SceneModel
from nerfkit.mesh import store
from nerfkit.mesh.options import AssetOptions, MeshOptions, TextureOptions
from nerfkit.mesh.requirements import require
from nerfkit.progress import ProgressSink, quiet

if TYPE_CHECKING:
    from nerfkit.data.scene import Scene

STAGES = ("surface", "clean", "simplify", "unwrap", "bake", "normals", "collision")
VERSION = 1  # of the stages' results; another one makes them anew
_CLEANING = ("mode", "ground", "fill_holes", "smooth", "min_component")  # options that the surface doesn't depend on
_LATER = (*_CLEANING, "faces")
_PARTS = 16  # of a collision shape, at most


@dataclass(frozen=True)
class Request:
    """What the user chose."""

    mesh: MeshOptions
    texture: TextureOptions
    asset: AssetOptions

    @property
    def levels(self) -> int:
        return self.asset.levels or (4 if self.asset.engine else 1)

    @property
    def collision(self) -> str:
        if self.asset.collision != "auto":
            return self.asset.collision
        return "convex" if self.asset.engine else "none"


class Pipeline:
    """The stages on one model, each done once for the same inputs.

    Args:
        scene: the scene that the model was trained on.
        model: loads the model; called only where a stage needs it.
        fingerprint: of the model; results of another one are not used.
        folder: where results are kept.
    """

    def __init__(
        self, scene: Scene, model: Callable[[], SceneModel], fingerprint: str, request: Request, folder: Path,
        progress: ProgressSink = quiet,
    ) -> None:  # fmt: skip
        self.scene, self.request, self.progress = scene, request, progress
        self.seconds: dict[str, float] = {}  # that each stage took when it was done
        self.facts: dict[str, Any] = {}  # of baking, for the quality card
        self._load, self._model = model, None
        self._fingerprint = fingerprint
        self._cache = Cache(folder)
        self._keys: dict[str, str] = {}
        self._made: dict[str, list[Mesh]] = {}

    @property
    def model(self) -> SceneModel:
        if self._model is None:
            self._model = self._load()
        return self._model

    def result(self, stage: str) -> list[Mesh]:
        """What a stage makes, and the stages before it where they aren't done: one mesh, or one for each level.

        Raises:
            NerfkitError: nothing opaque is seen, no room, an option that makes no sense, a missing package.
        """
        if stage not in self._made:
            meshes: list[Mesh] = getattr(self, f"_{stage}")()
            self._made[stage] = meshes
        return self._made[stage]

    # --- shape ----------------------------------------------------------------------------------------------

    def _surface(self) -> list[Mesh]:
        chosen = {k: v for k, v in asdict(self.request.mesh).items() if k not in _LATER}
        return self._stage("surface", {"model": self._fingerprint, **chosen}, self._make_surface)

    def _clean(self) -> list[Mesh]:
        chosen = {k: v for k, v in asdict(self.request.mesh).items() if k in _CLEANING}
        return self._after("surface", "clean", chosen, self._make_clean)

    def _simplify(self) -> list[Mesh]:
        from nerfkit.mesh import simplify

        count, faces = self.request.levels, self.request.mesh.faces
        chosen = {"levels": count, "faces": faces}
        return self._after("clean", "simplify", chosen, lambda made: simplify.levels(made[0], faces, count))

    def _make_surface(self) -> list[Mesh]:
        raise NotImplementedError

    def _make_clean(self, made: list[Mesh]) -> list[Mesh]:
        raise NotImplementedError

    # --- texture --------------------------------------------------------------------------------------------

    def _unwrap(self) -> list[Mesh]:
        raise NotImplementedError

    # --- keeping --------------------------------------------------------------------------------------------

    def _after(
        self, before: str, stage: str, chosen: dict[str, Any], make: Callable[[list[Mesh]], Sequence[Mesh]]
    ) -> list[Mesh]:
        """A stage that works on what another one made."""
        made = self.result(before)
        return self._stage(stage, {"before": self._keys[before], **chosen}, lambda: make(made))

    def _stage(self, stage: str, inputs: dict[str, Any], make: Callable[[], Sequence[Mesh]]) -> list[Mesh]:
        """The kept result of a stage, or a new one where its inputs have changed or its file is damaged."""
        key = self._keys[stage] = key_of(version=VERSION, **inputs)
        file = self._cache.folder / f"{stage}.npz"
        record = self._cache.get(stage, key)
        if record is not None:
            try:
                meshes = store.load(file)
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                pass
            else:
                self._note(stage, record)
                return meshes
        self._cache.drop(stage)
        self.progress(stage, 0, 1)
        start = time.perf_counter()
        self.facts.pop(stage, None)
        meshes = list(make())
        store.save(file, meshes)
        self._note(stage, self._cache.put(stage, key, time.perf_counter() - start, self.facts.get(stage, {})))
        self.progress(stage, 1, 1)
        return meshes

    def _note(self, stage: str, record: dict[str, Any]) -> None:
        self.seconds[stage], self.facts[stage] = record["seconds"], record["result"]


def check_packages() -> None:
    """Raises NerfkitError: a package of the ``mesh`` extra is missing; before the work, not after it."""
    for module in ("skimage", "scipy", "fast_simplification", "trimesh", "xatlas"):
        require(module)
