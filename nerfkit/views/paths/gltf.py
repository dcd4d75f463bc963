"""Cameras of a glTF file, animated or not: what Blender exports (glTF 2.0, sections 3.5, 3.6, 3.10 and 3.11)."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError
from nerfkit.views.paths import checks
from nerfkit.views.paths.camera_path import CameraPath, Keyframe

Array = NDArray[np.float64]
MAGIC = b"glTF"
AGAIN = "export it again"
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_DEFAULTS = {"translation": (0.0, 0, 0), "rotation": (0.0, 0, 0, 1), "scale": (1.0, 1, 1)}
_FPS = (24.0, 23.976, 25.0, 29.97, 30.0, 50.0, 59.94, 60.0)
STILL_SECONDS = 1.0  # between the cameras of a file without animation


def is_gltf(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("asset"), dict) and "nodes" in data


def unpack_glb(file: Path, data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON and the binary chunk of a GLB (section 4.4)."""
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        length, kind = struct.unpack_from("<I4s", data, at)
        if at + 8 + length > len(data):
            raise NerfkitError(f"{file}: is cut off; copy it again, or {AGAIN}")
        chunks.setdefault(kind, data[at + 8 : at + 8 + length])
        at += 8 + length
    try:
        found = json.loads(chunks[b"JSON"])
    except (KeyError, ValueError, RecursionError):
        raise NerfkitError(f"{file}: is a damaged GLB (no readable JSON in it); {AGAIN}") from None
    if not is_gltf(found):
        raise NerfkitError(f"{file}: has no nodes, so it has no camera; {AGAIN} with its camera")
    return found, chunks.get(b"BIN\0", b"")


def parse(file: Path, document: dict[str, Any], binary: bytes) -> CameraPath:
    """The path of a file's camera: glTF's coordinates, OpenCV's axes.

    The first camera that moves; its keyframes are those of the file, each a frame in an export that samples the
    animation. Without any, all cameras in the order of their names, a second apart.

    Raises:
        NerfkitError: no camera, only orthographic ones, or a damaged file.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told, pose by pose
            return _Reader(file, document, binary).path()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
        raise NerfkitError(f"{file}: is a damaged glTF ({type(error).__name__}: {str(error)[:80]}); {AGAIN}") from None


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


class _Reader:
    def __init__(self, file: Path, document: dict[str, Any], binary: bytes) -> None:
        self.file, self.document, self.binary = file, document, binary
        self.nodes: list[dict[str, Any]] = document["nodes"]
        self.buffers: dict[int, bytes] = {}
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
        checks.count(self.file, "keyframes", times.tolist())
        poses, fovs = self._pose(node, times), self._fovs(node, times)
        cuts = all(track.interpolation == "STEP" for track in self._of(node))
        step = float(np.median(np.diff(times)))
        fps = min(_FPS, key=lambda known: abs(known * step - 1))
        fps = fps if abs(fps * step - 1) < 2e-3 else min(1 / step, 60.0)
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
        from scipy.spatial.transform import Rotation

        entry = self.nodes[node]
        if "matrix" in entry:
            return np.array(entry["matrix"], np.float64).reshape(4, 4).T[None]  # column by column
        parts = {}
        for key, default in _DEFAULTS.items():
            track = self.tracks.get((node, key))
            still = np.array([entry.get(key, default)], np.float64)
            parts[key] = still if track is None else track.at(times, key == "rotation")
        out = np.tile(np.eye(4), (max(len(part) for part in parts.values()), 1, 1))
        out[:, :3, :3] = Rotation.from_quat(parts["rotation"]).as_matrix() * parts["scale"][:, None]
        out[:, :3, 3] = parts["translation"]
        return out

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
        nodes: dict[tuple[int, str], _Track] = {}
        pointers: dict[str, _Track] = {}
        for animation in self.document.get("animations", []):
            for channel in animation["channels"]:
                target = channel["target"]
                extension = target.get("extensions", {}).get("KHR_animation_pointer")
                if extension is not None and str(extension.get("pointer", "")).startswith("/cameras/"):
                    pointers.setdefault(extension["pointer"], self._track(animation, channel))
                elif target.get("path") in _DEFAULTS and "node" in target:
                    nodes.setdefault((target["node"], target["path"]), self._track(animation, channel))
        return nodes, pointers

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
        """[count, width] of an accessor without sparse parts, which animations have no use for."""
        accessor = self.document["accessors"][index]
        view = self.document["bufferViews"][accessor["bufferView"]]
        kind = np.dtype(_COMPONENTS[accessor["componentType"]])
        width, number = _WIDTHS[accessor["type"]], accessor["count"]
        begin = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        stride = view.get("byteStride") or width * kind.itemsize
        data = self._buffer(view["buffer"])
        if begin < 0 or number < 1 or begin + (number - 1) * stride + width * kind.itemsize > len(data):
            raise NerfkitError(f"{self.file}: an animation lies beyond the end of its buffer; {AGAIN}")
        found = np.ndarray((number, width), kind, data, begin, (stride, kind.itemsize)).astype(np.float64)
        if accessor.get("normalized"):  # section 3.11: the only integers that rotations may be
            found = np.maximum(found / np.iinfo(kind).max, -1)
        if not np.isfinite(found).all():
            raise NerfkitError(f"{self.file}: an animation has a number that is not finite; {AGAIN}")
        return found

    def _buffer(self, index: int) -> bytes:
        if index not in self.buffers:
            uri = self.document["buffers"][index].get("uri")
            if uri is None:
                self.buffers[index] = self.binary
            elif uri.startswith("data:"):
                try:
                    self.buffers[index] = base64.b64decode(uri.partition(",")[2], validate=True)
                except binascii.Error:
                    raise NerfkitError(f"{self.file}: its buffer is no base64; {AGAIN}") from None
            else:
                self.buffers[index] = checks.read_bytes(self.file.parent / unquote(uri))
        return self.buffers[index]
