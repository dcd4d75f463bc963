"""The Blender synthetic format of NeRF: ``transforms_train.json``, one field of view, RGBA photos without suffix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nerfkit.data.raw import RawScene, RawView, finish
from nerfkit.data.transforms import frame_camera, frames, load_json, merged, photo_paths


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
        found = frames(file, data)
        paths = photo_paths(file, found, self.images)
        return [RawView(path, frame_camera(file, merged(data, frame), path)) for frame, path in zip(found, paths)]
