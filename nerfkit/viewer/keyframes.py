"""The keyframes that are being laid: added, moved in time, deleted, and made into a path."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from torch import Tensor

from nerfkit.data.scene import Scene
from nerfkit.errors import NerfkitError
from nerfkit.views.paths import CameraPath, Keyframe, read_path, write_path

STEP = 2.0  # seconds from a keyframe to one that is added after it
SHORTEST = 0.1  # seconds between two that are made
SUFFIX = ".json"


@dataclass
class Keyframes:
    """In the order of their times; the first one's time is 0."""

    keys: list[Keyframe] = field(default_factory=list)
    loop: bool = False
    base: CameraPath | None = None  # a loaded path, whose other settings are kept

    def __len__(self) -> int:
        return len(self.keys)

    def add(self, world_from_cam: Tensor, fov: float, after: int | None = None) -> int:
        """A new keyframe behind the one at ``after`` (default: the last); gives its place.

        Halfway to the next one, or where that is near, STEP behind it, and those that follow as much later.
        """
        place = len(self.keys) if after is None or not self.keys else after + 1
        time = self.keys[place - 1].time + STEP if place else 0.0
        if place < len(self.keys):
            half = (self.keys[place].time - self.keys[place - 1].time) / 2
            if half >= SHORTEST:
                time = self.keys[place - 1].time + half
            else:
                self.keys[place:] = [replace(key, time=key.time + STEP) for key in self.keys[place:]]
        self.keys.insert(place, Keyframe(world_from_cam.double(), fov, time))
        return place

    def delete(self, index: int) -> None:
        del self.keys[index]
        self._begin_at_zero()

    def set_time(self, index: int, time: float) -> int:
        """Moves a keyframe in time, past others where it comes to lie behind them; gives its new place.

        Raises:
            NerfkitError: another keyframe has that time.
        """
        others = [key for k, key in enumerate(self.keys) if k != index]
        if any(abs(key.time - time) < 1e-3 for key in others):
            raise NerfkitError(f"another keyframe is at {time:g} s; choose another time")
        moved = replace(self.keys[index], time=time)
        self.keys = sorted([*others, moved], key=lambda key: key.time)
        place = self.keys.index(moved)
        self._begin_at_zero()
        return place

    def swap(self, index: int, by: int) -> int:
        """Exchanges a keyframe with the one before (-1) or after it (1); times stay. Gives its new place."""
        other = index + by
        if not 0 <= other < len(self.keys):
            return index
        a, b = self.keys[index], self.keys[other]
        self.keys[index], self.keys[other] = replace(b, time=a.time), replace(a, time=b.time)
        return other

    def set_fov(self, index: int, fov: float) -> None:
        self.keys[index] = replace(self.keys[index], fov=fov)

    def set_pose(self, index: int, world_from_cam: Tensor, fov: float) -> None:
        self.keys[index] = replace(self.keys[index], world_from_cam=world_from_cam.double(), fov=fov)

    def path(self) -> CameraPath:
        """Raises NerfkitError: there is no keyframe."""
        if not self.keys:
            raise NerfkitError("there is no keyframe yet; add one from the present view")
        keys = tuple(self.keys)
        path = CameraPath(keys) if self.base is None else replace(self.base, keyframes=keys)
        return path.looped(self.loop)

    def take(self, path: CameraPath) -> None:
        self.keys, self.loop, self.base = list(path.keyframes), path.loop, path

    def _begin_at_zero(self) -> None:
        first = self.keys[0].time if self.keys else 0.0
        self.keys = [replace(key, time=key.time - first) for key in self.keys]


class Shelf:
    """The folder of camera paths beside what is shown."""

    def __init__(self, folder: Path, scene: Scene | None) -> None:
        self.folder, self.scene = folder, scene

    def names(self) -> list[str]:
        return sorted(file.stem for file in self.folder.glob(f"*{SUFFIX}"))

    def file(self, name: str) -> Path:
        """Where a path of that name is kept.

        Raises:
            NerfkitError: a name that is none: whoever looks from elsewhere must not choose the folder.
        """
        if not re.fullmatch(r"[\w][\w .-]{0,99}", name):
            raise NerfkitError(f"{name[:40]!r} is no name of a path; use letters, digits, - and _")
        return self.folder / f"{name}{SUFFIX}"

    def save(self, name: str, path: CameraPath) -> Path:
        """Raises NerfkitError: a bad name, or the file can't be written."""
        file = self.file(name)
        write_path(file, path, self.scene)
        return file

    def load(self, name: str) -> CameraPath:
        """Raises NerfkitError: no such file, or it can't be read."""
        return read_path(self.file(name), self.scene, prefer="keyframes")
