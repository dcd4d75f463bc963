"""Binary glTF 2.0.

Written here because of what general mesh writers don't offer: linear vertex colours of sixteen bits (eight show bands
in the dark), several scenes, levels of detail, and textures whose bytes and names are ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from nerfkit.gltf.accessors import ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER, Layout
from nerfkit.gltf.container import glb_head
from nerfkit.mesh.assets import images
from nerfkit.mesh.assets.images import ImageFormat
from nerfkit.mesh.assets.parts import Document, Part
from nerfkit.mesh.geometry import vertex_normals
from nerfkit.mesh.texture.tangents import tangents

_LINEAR, _LINEAR_MIPMAP_LINEAR, _CLAMP_TO_EDGE = 9729, 9987, 33071
_RESTART = 65535  # the index that 16 bits can't have: glTF 2.0, 3.7.2.1

ROUGHNESS = 0.9  # captured colours hold their light already: little is left to shine


def linear_from_srgb(srgb: np.ndarray) -> np.ndarray:
    """IEC 61966-2-1, on values in [0, 1]."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def encode(
    document: Document,
    name: str = "mesh",
    image_format: ImageFormat = "jpeg",
    root_rotation: np.ndarray | None = None,
    metric: bool = False,
) -> bytes:
    """A GLB file whose scenes and nodes are those of ``document``.

    Levels of detail that lie in other scenes are tied to the finest by MSFT_lod: a reader that knows the extension
    switches between them, any other shows the finest.

    Args:
        document: the meshes, whose coordinates are stored as they are.
        name: of the first scene and, with suffixes, of materials and images.
        image_format: of base colours; normal maps are PNG. WebP needs EXT_texture_webp, and is marked as required.
        root_rotation: [3, 3] that every node applies; none by default.
        metric: whether a unit is a metre indeed, which readers assume anyway; ``asset.extras.metric`` keeps it.
    """
    return _Writer(name, image_format, root_rotation).write(document, metric)


class _Writer:
    def __init__(self, name: str, image_format: ImageFormat, root_rotation: np.ndarray | None) -> None:
        self.name, self.image_format = name, image_format
        self.rotation = None if root_rotation is None else Rotation.from_matrix(root_rotation).as_quat().tolist()
        self.buffer = _Buffer()
        self.json: dict[str, list[dict[str, Any]]] = {
            key: [] for key in ("nodes", "meshes", "materials", "textures", "images", "samplers")
        }
        self.textures: dict[int, int] = {}  # of arrays, by identity: levels may share one
        self.materials: dict[tuple[int | None, int | None, bool], int] = {}
        self.extensions: list[str] = []

    def write(self, document: Document, metric: bool) -> bytes:
        scenes = [self._scene(self.name, document.scene)]
        scenes += [self._scene(name, parts) for name, parts in document.others.items()]
        self._tie_levels(document)
        whole: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "nerfkit", "extras": {"metric": metric}},
            "scene": 0,
            "scenes": scenes,
            **{key: values for key, values in self.json.items() if values},
            **self.buffer.layout.document(),
        }
        if self.extensions:
            whole["extensionsUsed"] = self.extensions
        if "EXT_texture_webp" in self.extensions:
            whole["extensionsRequired"] = ["EXT_texture_webp"]
        return glb_head(whole, len(self.buffer.data)) + bytes(self.buffer.data)

    def _scene(self, name: str, parts: list[Part]) -> dict[str, Any]:
        return {"name": name, "nodes": [self._node(part) for part in parts]}

    def _node(self, part: Part) -> int:
        node: dict[str, Any] = {"name": part.name, "mesh": self._mesh(part)}
        if self.rotation is not None:
            node["rotation"] = self.rotation
        return _append(self.json["nodes"], node)

    def _mesh(self, part: Part) -> int:
        mesh = part.mesh
        normals = vertex_normals(mesh) if mesh.normals is None else mesh.normals
        add = self.buffer.add
        attributes = {
            "POSITION": add(mesh.vertices.astype("<f4"), ARRAY_BUFFER, extent=True),
            "NORMAL": add(_unit(normals).astype("<f4"), ARRAY_BUFFER),
        }
        if mesh.uvs is not None and (mesh.texture is not None or mesh.normal_map is not None):
            downwards = np.stack([mesh.uvs[:, 0], 1 - mesh.uvs[:, 1]], 1)  # glTF's v begins at the top row
            attributes["TEXCOORD_0"] = add(downwards.astype("<f4"), ARRAY_BUFFER)
            if mesh.normal_map is not None:
                attributes["TANGENT"] = add(tangents(mesh).astype("<f4"), ARRAY_BUFFER)
        if mesh.colors is not None and mesh.texture is None:
            attributes["COLOR_0"] = add(_linear_rgba16(mesh.colors), ARRAY_BUFFER, normalized=True)
        kind = "<u2" if len(mesh.vertices) <= _RESTART else "<u4"
        indices = add(mesh.faces.astype(kind).reshape(-1), ELEMENT_ARRAY_BUFFER)
        primitive = {"attributes": attributes, "indices": indices, "material": self._material(part)}
        return _append(self.json["meshes"], {"name": part.name, "primitives": [primitive]})

    def _material(self, part: Part) -> int:
        mesh, shape = part.mesh, part.level is None
        texture = normal_map = None
        if mesh.uvs is not None:
            texture = self._texture(mesh.texture, "base_color", self.image_format)
            normal_map = self._texture(mesh.normal_map, "normal", "png")
        key = texture, normal_map, shape
        if key not in self.materials:
            surface: dict[str, Any] = {"metallicFactor": 0, "roughnessFactor": ROUGHNESS}
            if texture is not None:
                surface["baseColorTexture"] = {"index": texture}
            count = sum(1 for known in self.materials if known[2] == shape)
            name = f"{self.name}_collision" if shape else self.name
            material: dict[str, Any] = {"name": f"{name}_{count}" if count else name, "pbrMetallicRoughness": surface}
            if normal_map is not None:
                material["normalTexture"] = {"index": normal_map}
            self.materials[key] = _append(self.json["materials"], material)
        return self.materials[key]

    def _texture(self, image: np.ndarray | None, what: str, image_format: ImageFormat) -> int | None:
        if image is None:
            return None
        if id(image) not in self.textures:
            if not self.json["samplers"]:
                self.json["samplers"].append(
                    {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR,
                     "wrapS": _CLAMP_TO_EDGE, "wrapT": _CLAMP_TO_EDGE}
                )  # fmt: skip
            count = sum(1 for known in self.json["images"] if what in known["name"])
            entry = {
                "name": f"{self.name}_{what}" + (f"_{count}" if count else ""),
                "mimeType": images.MIME_TYPES[image_format],
                "bufferView": self.buffer.view(images.encode(image, image_format)),
            }
            source = _append(self.json["images"], entry)
            texture: dict[str, Any] = {"sampler": 0}
            if image_format == "webp":
                self._use("EXT_texture_webp")
                texture["extensions"] = {"EXT_texture_webp": {"source": source}}
            else:
                texture["source"] = source
            self.textures[id(image)] = _append(self.json["textures"], texture)
        return self.textures[id(image)]

    def _tie_levels(self, document: Document) -> None:
        """MSFT_lod: the node of the finest level names the others; each is drawn down to a share of the screen."""
        shown = {part.level for part in document.scene}
        levels = {part.level: index for index, part in enumerate(document.parts()) if part.level is not None}
        coarser = [index for level, index in sorted(levels.items()) if level not in shown]
        if 0 not in levels or not coarser:
            return
        self._use("MSFT_lod")
        node = self.json["nodes"][levels[0]]
        node["extensions"] = {"MSFT_lod": {"ids": coarser}}
        # every level has a quarter of the faces of the one before: about as many per pixel at a quarter of the pixels
        node["extras"] = {"MSFT_screencoverage": [0.25 ** (level + 1) for level in range(len(coarser))] + [0.0]}

    def _use(self, extension: str) -> None:
        if extension not in self.extensions:
            self.extensions.append(extension)


class _Buffer:
    """Collects arrays and files."""

    def __init__(self) -> None:
        self.layout = Layout()
        self.data = bytearray()

    def view(self, data: bytes) -> int:
        index = self.layout.view(len(data))
        self._append(data)
        return index

    def add(self, array: np.ndarray, target: int, *, extent: bool = False, normalized: bool = False) -> int:
        """Adds an array [N, W] or [N], little-endian."""
        more = {"min": array.min(0).tolist(), "max": array.max(0).tolist()} if extent else {}
        width = 1 if array.ndim == 1 else array.shape[1]
        index = self.layout.accessor(array.dtype, len(array), width, target, normalized=normalized, **more)
        self._append(array.tobytes())
        return index

    def _append(self, data: bytes) -> None:
        self.data += data
        self.data += bytes(self.layout.size - len(self.data))


def _append(items: list[dict[str, Any]], item: dict[str, Any]) -> int:
    items.append(item)
    return len(items) - 1


def _linear_rgba16(colors: np.ndarray) -> np.ndarray:
    table = np.round(linear_from_srgb(np.arange(256) / 255) * 65535).astype("<u2")
    rgba = np.full((len(colors), 4), 65535, "<u2")
    rgba[:, :3] = table[colors]
    return rgba


def _unit(normals: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.where(length > 0, normals / np.maximum(length, 1e-30), [0.0, 0.0, 1.0])
