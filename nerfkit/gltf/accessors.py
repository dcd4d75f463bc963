"""Arrays in the buffers of glTF 2.0: accessors and buffer views (sections 3.6.2 and 3.11)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nerfkit.errors import NerfkitError
from nerfkit.gltf.container import Buffer, Gltf, natural

COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
_CODES = {np.dtype(name): code for code, name in COMPONENTS.items()}
_TYPES = {width: name for name, width in WIDTHS.items()}


@dataclass(frozen=True)
class Accessor:
    """Numbers [``count``, ``width``] in a buffer, read by rows."""

    count: int
    width: int
    dtype: np.dtype
    buffer: Buffer
    start: int
    stride: int
    most: float  # what normalized integers are divided by; 1 for others

    def rows(self, rows: slice, kind: type[np.floating[Any]] = np.float32) -> NDArray[np.floating[Any]]:
        """Rows ``rows.start`` to ``rows.stop`` as floats."""
        n, size = rows.stop - rows.start, self.width * self.dtype.itemsize
        data = self.buffer.read(self.start + rows.start * self.stride, (n - 1) * self.stride + size if n else 0)
        found = np.ndarray((n, self.width), self.dtype, data, 0, (self.stride, self.dtype.itemsize)).astype(kind)
        return found if self.most == 1 else np.maximum(found / kind(self.most), kind(-1))

    def all(self) -> NDArray[np.float64]:
        return np.asarray(self.rows(slice(0, self.count), np.float64))


def accessor(gltf: Gltf, index: Any) -> Accessor:
    """An accessor of a document, all of whose rows are there.

    Raises:
        NerfkitError: sparse or compressed, or it lies beyond its buffer.
        LookupError, TypeError, AttributeError: the document lacks it, or has it in another form
            (:func:`nerfkit.gltf.container.damaged`).
    """
    path, item = gltf.path, gltf.document["accessors"][natural(index)]
    if "sparse" in item or "bufferView" not in item:
        raise NerfkitError(f"{path}: accessor {index} is sparse or compressed, which isn't read; save the file plainly")
    dtype, width, count = np.dtype(COMPONENTS[item["componentType"]]), WIDTHS[item["type"]], natural(item["count"])
    view = gltf.document["bufferViews"][natural(item["bufferView"])]
    buffer, size = gltf.buffer(view["buffer"]), width * dtype.itemsize
    stride = natural(view.get("byteStride", size))
    start = natural(view.get("byteOffset", 0)) + natural(item.get("byteOffset", 0))
    if stride < size:
        raise NerfkitError(f"{path}: damaged: the rows of accessor {index} lie within each other")
    if count and start + (count - 1) * stride + size > buffer.size:
        raise NerfkitError(f"{path}: is truncated: accessor {index} reaches beyond the end of its buffer")
    most = float(np.iinfo(dtype).max) if item.get("normalized") and dtype.kind != "f" else 1.0
    return Accessor(count, width, dtype, buffer, start, stride, most)


@dataclass
class Layout:
    """What is in the one buffer of a file that is written; every view begins at a multiple of four bytes."""

    size: int = 0
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)

    def view(self, size: int, target: int | None = None) -> int:
        """The index of a view of the next ``size`` bytes, behind which up to three are left free."""
        entry = {"buffer": 0, "byteOffset": self.size, "byteLength": size}
        self.views.append(entry if target is None else entry | {"target": target})
        self.size += size + -size % 4
        return len(self.views) - 1

    def accessor(
        self, dtype: np.dtype, count: int, width: int, target: int, *, normalized: bool = False, **more: Any
    ) -> int:
        """The index of an accessor of the next ``count`` rows, in a view of its own; ``more``: ``min`` and ``max``."""
        entry = {
            "bufferView": self.view(count * width * dtype.itemsize, target),
            "componentType": _CODES[dtype], "count": count, "type": _TYPES[width], **more,
        }  # fmt: skip
        self.accessors.append(entry | ({"normalized": True} if normalized else {}))
        return len(self.accessors) - 1

    def document(self) -> dict[str, Any]:
        """The parts of the document that say where the arrays are."""
        return {"accessors": self.accessors, "bufferViews": self.views, "buffers": [{"byteLength": self.size}]}
