"""Cameras of a glTF file, animated or not: what Blender exports (glTF 2.0, sections 3.5, 3.6, 3.10 and 3.11)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError
from nerfkit.gltf import container, nodes
from nerfkit.gltf.accessors import accessor
from nerfkit.views.paths import checks
from nerfkit.views.paths.camera_path import CameraPath, Keyframe
from nerfkit.views.paths.poses import FASTEST, FPS, SLOWEST

Array = NDArray[np.float64]
MAGIC = container.MAGIC
AGAIN = "export it again"
_FPS = (24.0, 23.976, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0)
STILL_SECONDS = 1.0  # between the cameras of a file without animation


def is_gltf(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("asset"), dict) and "nodes" in data


def unpack_glb(file: Path, data: bytes) -> tuple[dict[str, Any], bytes]:
    """The document and the binary chunk of a GLB."""
    found = container.read_glb(file, container.Held(data))
    if not is_gltf(found.document):
        raise NerfkitError(f"{file}: has no nodes, so it has no camera; {AGAIN} with its camera")
    return found.document, b"" if found.binary is None else found.binary.read(0, found.binary.size)


def parse(file: Path, document: dict[str, Any], binary: bytes) -> CameraPath:
    """The path of a file's camera: glTF's coordinates, OpenCV's axes.

    The first camera that moves; its keyframes are those of the file, each a frame in an export that samples the
    animation. Without any, all cameras in the order of their names, a second apart.

    Raises:
        NerfkitError: no camera, only orthographic ones, or a damaged file.
    """
    with container.damaged(file), np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told by poses
        return _Reader(container.Gltf(file, document, container.Held(binary))).path()


@dataclass(frozen=True)
class _Track:
    """One animated property: a channel with its sampler."""

    times: Array  # [K]
    values: Array  # [K, W], or [K, 3, W] with the tangents of a cubic spline
    interpolation: str

    def at(self, times: Array, rotation: bool) -> Array:
        """[T, W] at times, held before the first and behind the last key (section 3.11 and appendix C)."""
        values = self.values[:, 1] if self.values.ndim == 3 else self.values
        if len(self.times) == 1:
            return np.repeat(values, len(times), 0)
        times = np.clip(times, self.times[0], self.times[-1])
        span = np.clip(np.searchsorted(self.times, times, side="right") - 1, 0, len(self.times) - 2)
        length = (self.times[span + 1] - self.times[span])[:, None]
        share = (times - self.times[span])[:, None] / length
        a, b = values[span], values[span + 1]
        if self.interpolation == "STEP":
            return np.where(share < 1, a, b)
        if self.interpolation == "CUBICSPLINE":
            out, into = self.values[span, 2] * length, self.values[span + 1, 0] * length
            s2, s3 = share**2, share**3
            return np.asarray(
                (2 * s3 - 3 * s2 + 1) * a + (s3 - 2 * s2 + share) * out + (3 * s2 - 2 * s3) * b + (s3 - s2) * into
            )
        return _slerp(a, b, share) if rotation else a + (b - a) * share


def _slerp(a: Array, b: Array, share: Array) -> Array:
    from scipy.spatial.transform import Rotation

    first, last = Rotation.from_quat(a), Rotation.from_quat(b)
    return np.asarray((first * Rotation.from_rotvec((first.inv() * last).as_rotvec() * share)).as_quat())


def _frames(times: Array) -> Array:
    """Times of frames, where animations have keys at few: what moves between them has to be asked for."""
    if _fps(times) >= SLOWEST * (1 - 1e-6):
        return times
    count = min(round((times[-1] - times[0]) * FPS), checks.MOST) + 1
    return np.asarray(times[0] + np.arange(count) / FPS)


def _fps(times: Array) -> float:
    """Keys a second: one of the usual speeds, if they are near to it."""
    step = float(np.median(np.diff(times)))
    fps = min(_FPS, key=lambda known: abs(known * step - 1))
    return fps if abs(fps * step - 1) < 2e-3 else min(1 / step, FASTEST)


class _Reader:
    def __init__(self, gltf: container.Gltf) -> None:
        self.gltf, self.file, self.document = gltf, gltf.path, gltf.document
        self.nodes: list[dict[str, Any]] = self.document["nodes"]
        self.parents = {child: i for i, node in enumerate(self.nodes) for child in node.get("children", [])}
        self.tracks, self.pointers = self._tracks()

    def path(self) -> CameraPath:
        cameras = self.document.get("cameras", [])
        found = [
            index
            for index, node in enumerate(self.nodes)
            if "camera" in node and cameras[node["camera"]].get("type") == "perspective"
        ]
        if not found:
            why = "only orthographic cameras" if cameras else "no camera"
            raise NerfkitError(f"{self.file}: has {why}; {AGAIN} with a perspective camera (Blender: Data, Cameras)")
        for node in found:
            times = self._times(node)
            if len(times) > 1:
                return self._animated(node, times)
        found.sort(key=lambda index: str(self.nodes[index].get("name", "")))
        keys = [
            Keyframe(self._pose(node, np.zeros(1))[0], float(self._fovs(node, np.zeros(1))[0]), index * STILL_SECONDS)
            for index, node in enumerate(found)
        ]
        return CameraPath(tuple(keys), after=0.0 if len(keys) > 1 else STILL_SECONDS)

    def _animated(self, node: int, times: Array) -> CameraPath:
        times = _frames(times)
        checks.count(self.file, "keyframes", times.tolist())
        poses, fovs = self._pose(node, times), self._fovs(node, times)
        cuts = all(track.interpolation == "STEP" for track in self._of(node))
        fps = _fps(times)
        keys = [
            Keyframe(pose, float(fov), float(time - times[0]), "hold" if cuts else "linear")
            for pose, fov, time in zip(poses, fovs, times, strict=True)
        ]
        return CameraPath(tuple(keys), after=1 / fps, fps=fps)

    def _pose(self, node: int, times: Array) -> list[Any]:
        """The poses [T] of a camera's node."""
        matrices = np.eye(4)[None]
        for index in self._chain(node):
            matrices = self._local(index, times) @ matrices
        matrices = np.broadcast_to(matrices, (len(times), 4, 4))
        name = f"camera {self.nodes[node].get('name', node)!r}"
        return [checks.rigid(self.file, name, checks.matrix(self.file, name, m) @ checks.FLIP) for m in matrices]

    def _local(self, node: int, times: Array) -> Array:
        """A node's own matrices [T or 1, 4, 4]."""
        entry = self.nodes[node]
        if "matrix" in entry:
            return nodes.local_matrix(entry)[None]
        parts = {}
        for key, default in nodes.DEFAULTS.items():
            track = self.tracks.get((node, key))
            still = np.array([entry.get(key, default)], np.float64)
            parts[key] = still if track is None else track.at(times, key == "rotation")
        return nodes.composed(**parts)

    def _fovs(self, node: int, times: Array) -> Array:
        camera = self.nodes[node]["camera"]
        track = self.pointers.get(f"/cameras/{camera}/perspective/yfov")
        still = self.document["cameras"][camera]["perspective"]["yfov"]
        found = np.full(len(times), still, np.float64) if track is None else track.at(times, False)[:, 0]
        for value in (found.min(), found.max()):
            checks.number(self.file, "yfov of the camera", value, 0, np.pi)
        return found

    def _chain(self, node: int) -> list[int]:
        """A node and all above it."""
        chain = [node]
        while chain[-1] in self.parents:
            chain.append(self.parents[chain[-1]])
            if len(chain) > len(self.nodes):
                raise NerfkitError(f"{self.file}: its nodes go round in a circle; {AGAIN}")
        return chain

    def _of(self, node: int) -> list[_Track]:
        """All that moves a camera's node."""
        chain = set(self._chain(node))
        zoom = self.pointers.get(f"/cameras/{self.nodes[node]['camera']}/perspective/yfov")
        moving = [track for (index, _), track in self.tracks.items() if index in chain]
        return moving if zoom is None else [*moving, zoom]

    def _times(self, node: int) -> Array:
        tracks = self._of(node)
        return np.unique(np.concatenate([track.times for track in tracks])) if tracks else np.zeros(0)

    def _tracks(self) -> tuple[dict[tuple[int, str], _Track], dict[str, _Track]]:
        """Animated properties of nodes, and by pointers (KHR_animation_pointer); of several animations the first."""
        moved: dict[tuple[int, str], _Track] = {}
        pointers: dict[str, _Track] = {}
        for animation in self.document.get("animations", []):
            for channel in animation["channels"]:
                target = channel["target"]
                extension = target.get("extensions", {}).get("KHR_animation_pointer")
                if extension is not None and str(extension.get("pointer", "")).startswith("/cameras/"):
                    pointers.setdefault(extension["pointer"], self._track(animation, channel))
                elif target.get("path") in nodes.DEFAULTS and "node" in target:
                    moved.setdefault((target["node"], target["path"]), self._track(animation, channel))
        return moved, pointers

    def _track(self, animation: dict[str, Any], channel: dict[str, Any]) -> _Track:
        sampler = animation["samplers"][channel["sampler"]]
        times, values = self._accessor(sampler["input"])[:, 0], self._accessor(sampler["output"])
        interpolation = sampler.get("interpolation", "LINEAR")
        if interpolation == "CUBICSPLINE":
            values = values.reshape(-1, 3, values.shape[1])
        if len(times) != len(values) or not len(times) or (np.diff(times) <= 0).any():
            raise NerfkitError(f"{self.file}: an animation's times and values do not fit together; {AGAIN}")
        return _Track(times, values, interpolation)

    def _accessor(self, index: int) -> Array:
        """[count, width] of an accessor."""
        opened = accessor(self.gltf, index)
        if opened.count > 3 * checks.MOST:  # a keyframe of a cubic spline is three
            raise NerfkitError(f"{self.file}: an animation has {opened.count} values, too many for a path; {AGAIN}")
        found = opened.all()
        if not len(found) or not np.isfinite(found).all():
            raise NerfkitError(f"{self.file}: an animation has no numbers, or one that is not finite; {AGAIN}")
        return found
