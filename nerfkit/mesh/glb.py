"""Binary glTF 2.0 with vertex colours.

Written here because the colours of glTF vertices are linear: eight linear bits show bands in the dark, so they are
stored with sixteen, which general mesh writers don't offer.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.mesh.geometry import vertex_normals

_FLOAT, _UINT32, _UINT16 = 5126, 5125, 5123
_ARRAY_BUFFER, _ELEMENT_ARRAY_BUFFER = 34962, 34963


def linear_from_srgb(srgb: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, on values in [0, 1]."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encode(mesh: Mesh, yup_from_world: np.ndarray | None = None) -> bytes:
    """A GLB file with one mesh: positions, normals, linear vertex colours.

    Args:
        mesh: the mesh, whose coordinates are stored as they are.
        yup_from_world: [3, 3] rotation that the root node applies; none by default.
    """
    normals = vertex_normals(mesh) if mesh.normals is None else mesh.normals
    buffer = _Buffer()
    attributes = {
        "POSITION": buffer.add(mesh.vertices.astype("<f4"), _FLOAT, "VEC3", _ARRAY_BUFFER, extent=True),
        "NORMAL": buffer.add(_unit(normals).astype("<f4"), _FLOAT, "VEC3", _ARRAY_BUFFER),
    }
    if mesh.colors is not None:
        attributes["COLOR_0"] = buffer.add(_linear_rgba16(mesh.colors), _UINT16, "VEC4", _ARRAY_BUFFER)
    indices = buffer.add(mesh.faces.astype("<u4").reshape(-1), _UINT32, "SCALAR", _ELEMENT_ARRAY_BUFFER)
    node: dict[str, Any] = {"name": "mesh", "mesh": 0}
    if yup_from_world is not None:
        node["rotation"] = _quaternion_xyzw(yup_from_world)
    document = {
        "asset": {"version": "2.0", "generator": "nerfkit"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}],
        "materials": [
            {
                "name": "captured",
                "pbrMetallicRoughness": {"metallicFactor": 0, "roughnessFactor": 1},
            }
        ],
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(buffer.data)
    head = struct.pack("<4sII", b"glTF", 2, total) + struct.pack("<I4s", len(text), b"JSON") + text
    return head + struct.pack("<I4s", len(buffer.data), b"BIN\0") + bytes(buffer.data)


class _Buffer:
    """Collects arrays; every one begins at a multiple of four bytes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(
        self,
        array: np.ndarray,
        component: int,
        kind: str,
        target: int,
        *,
        extent: bool = False,
    ) -> int:
        self.views.append(
            {
                "buffer": 0,
                "byteOffset": len(self.data),
                "byteLength": array.nbytes,
                "target": target,
            }
        )
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": component,
            "count": len(array),
            "type": kind,
        }
        if component == _UINT16:
            accessor["normalized"] = True
        if extent:
            accessor |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        self.accessors.append(accessor)
        self.data += array.tobytes()
        self.data += bytes(-len(self.data) % 4)
        return len(self.accessors) - 1


def _linear_rgba16(colors: np.ndarray) -> np.ndarray:
    table = np.round(linear_from_srgb(np.arange(256) / 255) * 65535).astype("<u2")
    rgba = np.full((len(colors), 4), 65535, "<u2")
    rgba[:, :3] = table[colors]
    return rgba


def _unit(normals: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.maximum(length, 1e-30), [0.0, 0.0, 1.0])


def _quaternion_xyzw(rotation: np.ndarray) -> list[float]:
    """The unit quaternion of a rotation: the main eigenvector of Bar-Itzhack's matrix (2000), stable everywhere."""
    m = np.asarray(rotation, np.float64)
    k = np.array(
        [
            [
                m[0, 0] - m[1, 1] - m[2, 2],
                m[1, 0] + m[0, 1],
                m[2, 0] + m[0, 2],
                m[2, 1] - m[1, 2],
            ],
            [
                m[1, 0] + m[0, 1],
                m[1, 1] - m[0, 0] - m[2, 2],
                m[2, 1] + m[1, 2],
                m[0, 2] - m[2, 0],
            ],
            [
                m[2, 0] + m[0, 2],
                m[2, 1] + m[1, 2],
                m[2, 2] - m[0, 0] - m[1, 1],
                m[1, 0] - m[0, 1],
            ],
            [
                m[2, 1] - m[1, 2],
                m[0, 2] - m[2, 0],
                m[1, 0] - m[0, 1],
                m[0, 0] + m[1, 1] + m[2, 2],
            ],
        ]
    )
    quaternion = np.linalg.eigh(k)[1][:, -1]
    return [float(q) for q in quaternion]
