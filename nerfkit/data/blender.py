"""The Blender synthetic format of NeRF: ``transforms_train.json``, one field of view, RGBA photos without suffix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nerfkit.data.raw import RawScene, RawView, finish
from nerfkit.data.transforms import frame_camera, frames, load_json, merged, photo_path


@dataclass(frozen=True)
class BlenderReader:
    """Reads ``transforms_train.json`` and, where it has photos, ``transforms_test.json`` as the held-out views.

    ``transforms_val.json`` is used in place of a missing test file. Without either, the scene's own split
    holds views out.
    """

    images: Path | None = None

    def accepts(self, path: Path) -> bool:
        return path.name == "transforms_train.json" or (path / "transforms_train.json").is_file()

    def read(self, path: Path) -> RawScene:
        """Raises NerfkitError: invalid JSON, no frames, no field of view, missing photos."""
        folder = path.parent if path.suffix == ".json" else path
        train = self._views(folder / "transforms_train.json")
        for name in ("transforms_test.json", "transforms_val.json"):
            if (folder / name).is_file():
                held_out = self._views(folder / name)
                paths = frozenset(view.path for view in held_out)
                return finish(RawScene(folder / "transforms_train.json", train + held_out, held_out=paths))
        return finish(RawScene(folder / "transforms_train.json", train))

    def _views(self, file: Path) -> list[RawView]:
        data = load_json(file)
        return [self._view(file, merged(data, frame)) for frame in frames(file, data)]

    def _view(self, file: Path, frame: Mapping[str, Any]) -> RawView:
        path = photo_path(file, frame, self.images)
        return RawView(path, frame_camera(file, frame, path))
