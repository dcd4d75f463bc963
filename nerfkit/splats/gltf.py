"""glTF 2.0 with ``KHR_gaussian_splatting``: ``.glb`` both ways, ``.gltf`` to read.

A primitive of points with the attributes ``POSITION``, and prefixed by the extension's name ``ROTATION`` (x y z w),
``SCALE`` and ``OPACITY`` (both linear) and ``SH_DEGREE_l_COEF_n``. Its frame has +Y up, as all of glTF. Source:
https://github.com/KhronosGroup/glTF, extensions/2.0/Khronos/KHR_gaussian_splatting, as ratified.
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.splats.blocks import Filling, blocks, check_count, check_size, degree_of, select
from nerfkit.splats.gltf_nodes import placed_meshes
from nerfkit.splats.transform import transform

MAX_DEGREE = 3
EXTENSION = "KHR_gaussian_splatting"
_MAGIC, _JSON, _BIN = 0x46546C67, 0x4E4F534A, 0x004E4942
_LONGEST_JSON = 1 << 26  # bytes
_TYPES = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
_FLOAT, _BYTE, _ARRAY_BUFFER, _POINTS = 5126, 5121, 34962, 0
_SHAPE = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display", "sortingMethod": "cameraDistance",
          "projection": "perspective"}  # fmt: skip


def read(path: Path) -> Gaussians:
    """The splats of all primitives with the extension, where the nodes put them, in glTF's frame.

    Raises:
        NerfkitError: no glTF, no splats in it, or a damaged one.
    """
    document, buffers = _load(path)
    try:
        return _all(path, document, buffers)
    except (KeyError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise NerfkitError(
            f"{path}: damaged: its document lacks something or has it in another form ({type(error).__name__}: {error})"
        ) from None


def _all(path: Path, document: dict[str, Any], buffers: list[np.ndarray]) -> Gaussians:
    found: list[Gaussians] = []
    total = 0
    for index, document_from_mesh in placed_meshes(path, document):
        for primitive in document["meshes"][index]["primitives"]:
            if EXTENSION in primitive.get("extensions", {}):
                total += _positive(document["accessors"][primitive["attributes"]["POSITION"]]["count"])
                check_count(path, total, path.stat().st_size + sum(buffer.nbytes for buffer in buffers))
                part = _primitive(path, document, buffers, primitive)
                still = bool((document_from_mesh.matrix == torch.eye(4)).all())
                found.append(part if still else transform(part, document_from_mesh))
    if not found:
        raise NerfkitError(f"{path}: has no Gaussian splats (no primitive with {EXTENSION})")
    degree = max(degree_of(part) for part in found)
    if len(found) == 1:
        return found[0]
    out = Filling(sum(map(len, found)), degree)
    start = 0
    for part in found:
        rows = slice(start, start + len(part))
        out.means[rows], out.quats[rows], out.scales[rows] = part.means, part.quats, part.scales
        out.opacities[rows], out.sh[rows, : part.sh.shape[1]] = part.opacities, part.sh
        start = rows.stop
    return out.finish(path)


def _primitive(path: Path, document: dict[str, Any], buffers: list[np.ndarray], primitive: dict[str, Any]) -> Gaussians:
    attributes = primitive["attributes"]
    degree = max(d for d in range(MAX_DEGREE + 1) if d == 0 or f"{EXTENSION}:SH_DEGREE_{d}_COEF_0" in attributes)
    count = _positive(document["accessors"][attributes["POSITION"]]["count"])
    out = Filling(count, degree)

    def fill(array: Tensor, name: str, width: int, change: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        view, most = _accessor(path, document, buffers, attributes[name], count, width)
        for rows in blocks(count):
            part = torch.from_numpy(np.ascontiguousarray(view[rows]).astype(np.float32)) / most
            array[rows] = change(part.clamp_min(-1) if most > 1 else part).reshape(array[rows].shape)

    fill(out.means, "POSITION", 3)
    fill(out.quats, f"{EXTENSION}:ROTATION", 4, lambda q: q[:, [3, 0, 1, 2]])
    fill(out.scales, f"{EXTENSION}:SCALE", 3)
    fill(out.opacities, f"{EXTENSION}:OPACITY", 1)
    for d in range(degree + 1):
        for n in range(2 * d + 1):
            fill(out.sh[:, d * d + n], f"{EXTENSION}:SH_DEGREE_{d}_COEF_{n}", 3)
    return out.finish(path)


def _accessor(
    path: Path, document: dict[str, Any], buffers: list[np.ndarray], index: int, count: int, width: int
) -> tuple[np.ndarray, float]:
    """Rows [count, width] of the file, and what to divide them by (normalized integers)."""
    accessor = document["accessors"][_positive(index)]
    kind = accessor["componentType"]
    if accessor["count"] != count or _WIDTHS.get(accessor["type"]) != width or kind not in _TYPES:
        raise NerfkitError(f"{path}: damaged: accessor {index} isn't {count:,} times {width} numbers")
    if "sparse" in accessor or "bufferView" not in accessor:
        raise NerfkitError(f"{path}: accessor {index} is sparse, which isn't read; save the file without compression")
    view = document["bufferViews"][_positive(accessor["bufferView"])]
    buffer = buffers[_positive(view["buffer"])]
    dtype = np.dtype(_TYPES[kind])
    stride = _positive(view.get("byteStride", width * dtype.itemsize))
    start = _positive(view.get("byteOffset", 0)) + _positive(accessor.get("byteOffset", 0))
    if count and stride < width * dtype.itemsize:
        raise NerfkitError(f"{path}: damaged: the rows of accessor {index} lie within each other")
    check_size(path, start + max(count - 1, 0) * stride + (width * dtype.itemsize if count else 0), buffer.nbytes)
    most = float(np.iinfo(dtype).max) if accessor.get("normalized") and dtype.kind != "f" else 1.0
    return np.ndarray((count, width), dtype, buffer.data, start, (stride, dtype.itemsize)), most


def _positive(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise TypeError(f"{str(value)[:40]} is no whole number from 0 on")
    return value


def _load(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    data = np.memmap(path, np.uint8, "r") if path.stat().st_size else np.zeros(0, np.uint8)
    if data[:4].tobytes() == struct.pack("<I", _MAGIC):
        document, binary = _load_glb(path, data)
    else:
        document, binary = _parse(path, data[:_LONGEST_JSON].tobytes()), None
    buffers = document.get("buffers", [])
    if not isinstance(buffers, list):
        raise NerfkitError(f"{path}: damaged: its buffers are no list")
    return document, [_buffer(path, item, binary) for item in buffers]


def _load_glb(path: Path, data: np.ndarray) -> tuple[dict[str, Any], np.ndarray]:
    check_size(path, 20, len(data))
    _, version, _, length, kind = struct.unpack("<IIIII", data[:20].tobytes())
    if version != 2 or kind != _JSON or length > _LONGEST_JSON:
        raise NerfkitError(f"{path}: is no glTF 2.0 file (version {version}), or damaged")
    check_size(path, 20 + length, len(data))
    document = _parse(path, data[20 : 20 + length].tobytes())
    begin = 20 + length
    if len(data) < begin + 8:
        return document, data[:0]
    size, kind = struct.unpack("<II", data[begin : begin + 8].tobytes())
    if kind != _BIN:
        return document, data[:0]
    check_size(path, begin + 8 + size, len(data))
    return document, data[begin + 8 : begin + 8 + size]


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NerfkitError(f"{path}: is no glTF file, or damaged ({str(error)[:80]})") from None
    if not isinstance(document, dict) or "asset" not in document:
        raise NerfkitError(f"{path}: is no glTF file: its document has no asset")
    return document


def _buffer(path: Path, item: Any, binary: np.ndarray | None) -> np.ndarray:
    uri = item.get("uri") if isinstance(item, dict) else ""
    if uri is None and binary is not None:
        return binary
    if not isinstance(uri, str) or not uri:
        raise NerfkitError(f"{path}: damaged: a buffer has no place")
    if uri.startswith("data:"):
        try:
            return np.frombuffer(base64.b64decode(uri.partition(",")[2], validate=True), np.uint8)
        except (ValueError, binascii.Error):
            raise NerfkitError(f"{path}: damaged: a buffer within it is no base64") from None
    file = path.parent / uri
    if Path(uri).is_absolute() or ".." in Path(uri).parts or "\0" in uri or not file.is_file():
        raise NerfkitError(f"{path}: its data {uri[:80]!r} are not beside it; put them there")
    return np.memmap(file, np.uint8, "r") if file.stat().st_size else np.zeros(0, np.uint8)


def write(path: Path, gaussians: Gaussians) -> None:
    """Writes a ``.glb`` of Gaussians in glTF's frame (+Y up), atomically.

    Raises:
        NerfkitError: no Gaussians, or the file cannot be written.
    """
    n, degree = len(gaussians), degree_of(gaussians)
    if n == 0:
        raise NerfkitError(f"{path}: no Gaussians to write; a glTF accessor holds at least one")
    parts = _parts(degree)
    document = _document(gaussians, parts)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    size = document["buffers"][0]["byteLength"]
    with atomic(path) as partial, partial.open("wb") as file:
        file.write(struct.pack("<III", _MAGIC, 2, 12 + 8 + len(text) + 8 + size))
        file.write(struct.pack("<II", len(text), _JSON) + text)
        file.write(struct.pack("<II", size, _BIN))
        for part in parts.values():
            for rows in blocks(n):
                file.write(np.ascontiguousarray(part(select(gaussians, rows)).numpy()).data)


def _parts(degree: int) -> dict[str, Callable[[Gaussians], Tensor]]:
    """The attributes in the file's order, floats but for COLOR_0 (bytes, for readers that know points only)."""
    parts: dict[str, Callable[[Gaussians], Tensor]] = {
        "POSITION": lambda g: g.means.float(),
        "COLOR_0": _fallback_color,
        f"{EXTENSION}:ROTATION": lambda g: torch.nn.functional.normalize(g.quats.double(), dim=1)[
            :, [1, 2, 3, 0]
        ].float(),
        f"{EXTENSION}:SCALE": lambda g: g.scales.float(),
        f"{EXTENSION}:OPACITY": lambda g: g.opacities[:, None].float().clamp(0, 1),
    }
    for d in range(degree + 1):
        for n in range(2 * d + 1):
            parts[f"{EXTENSION}:SH_DEGREE_{d}_COEF_{n}"] = lambda g, k=d * d + n: g.sh[:, k].float()  # type: ignore[misc]
    return parts


def _fallback_color(g: Gaussians) -> Tensor:
    rgba = torch.cat([values.rgb_from_dc(g.sh[:, 0]), g.opacities[:, None]], 1)
    return (rgba * 255).round().clamp(0, 255).byte()


def _document(gaussians: Gaussians, parts: dict[str, Callable[[Gaussians], Tensor]]) -> dict[str, Any]:
    n, offset = len(gaussians), 0
    accessors: list[dict[str, Any]] = []
    views: list[dict[str, Any]] = []
    for name in parts:
        width = {"COLOR_0": 4, f"{EXTENSION}:ROTATION": 4, f"{EXTENSION}:OPACITY": 1}.get(name, 3)
        kind = _BYTE if name == "COLOR_0" else _FLOAT
        size = n * width * (1 if kind == _BYTE else 4)
        type_ = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}[width]
        views.append({"buffer": 0, "byteOffset": offset, "byteLength": size, "target": _ARRAY_BUFFER})
        accessors.append({"bufferView": len(accessors), "componentType": kind, "count": n, "type": type_})
        offset += size
    means = gaussians.means.float()
    accessors[0] |= {"min": means.amin(0).tolist(), "max": means.amax(0).tolist()}
    accessors[1]["normalized"] = True
    attributes = {name: index for index, name in enumerate(parts)}
    primitive = {"attributes": attributes, "mode": _POINTS, "extensions": {EXTENSION: _SHAPE}}
    return {
        "asset": {"version": "2.0", "generator": "nerfkit"}, "extensionsUsed": [EXTENSION], "scene": 0,
        "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}],
        "accessors": accessors, "bufferViews": views, "buffers": [{"byteLength": offset}],
    }  # fmt: skip
