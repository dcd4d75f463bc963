"""glTF 2.0 with ``KHR_gaussian_splatting``: ``.glb`` both ways, ``.gltf`` to read.

A primitive of points with the attributes ``POSITION``, and prefixed by the extension's name ``ROTATION`` (x y z w),
``SCALE`` and ``OPACITY`` (both linear) and ``SH_DEGREE_l_COEF_n``. Its frame has +Y up, as all of glTF. Source:
https://github.com/KhronosGroup/glTF, extensions/2.0/Khronos/KHR_gaussian_splatting, as ratified.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nerfkit import value_transforms as values
from nerfkit.contracts import Gaussians
from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError
from nerfkit.files import atomic
from nerfkit.gltf.accessors import ARRAY_BUFFER, Accessor, Layout, accessor
from nerfkit.gltf.container import Gltf, damaged, glb_head, natural, read_gltf
from nerfkit.gltf.nodes import placed_nodes
from nerfkit.splats.blocks import blocks, check_count
from nerfkit.splats.stream import Splats, in_file, joined, numbered, stream
from nerfkit.splats.transform import transform

log = logging.getLogger("nerfkit")

MAX_DEGREE = 3
EXTENSION = "KHR_gaussian_splatting"
_POINTS = 0
_MOST_PARTS = 10_000
_WIDTHS = {"COLOR_0": 4, f"{EXTENSION}:ROTATION": 4, f"{EXTENSION}:OPACITY": 1}  # all others have 3
_UNEVEN = 1e-3  # relative difference of the scales of two axes that is taken for rounding
_SHAPE = {"kernel": "ellipse", "colorSpace": "srgb_rec709_display", "sortingMethod": "cameraDistance",
          "projection": "perspective"}  # fmt: skip


def open_file(path: Path) -> Splats:
    """The splats of all primitives with the extension, where the nodes put them, in glTF's frame.

    Raises:
        NerfkitError: no glTF, no splats in it, or a damaged one.
    """
    gltf = read_gltf(path)
    with damaged(path):
        return _all(gltf)


def _all(gltf: Gltf) -> Splats:
    path, document = gltf.path, gltf.document
    found: list[Splats] = []
    total, size = 0, path.stat().st_size + sum(gltf.buffer(i).size for i in range(len(document.get("buffers", []))))
    splats_of = [_splat_primitives(mesh) for mesh in document.get("meshes", [])]  # once: many nodes may show a mesh
    for node, matrix in placed_nodes(path, document):
        if not isinstance(node.get("mesh"), int) or not splats_of[natural(node["mesh"])]:
            continue
        document_from_mesh = _similarity(path, matrix)
        for primitive in splats_of[node["mesh"]]:
            total += natural(document["accessors"][natural(primitive["attributes"]["POSITION"])]["count"])
            check_count(path, total, size)
            if len(found) == _MOST_PARTS:
                raise NerfkitError(f"{path}: has more than {_MOST_PARTS:,} splat primitives; it is damaged")
            _check_shape(path, primitive["extensions"][EXTENSION])
            found.append(_primitive(gltf, primitive, document_from_mesh))
    if not found:
        raise NerfkitError(f"{path}: has no Gaussian splats (no primitive with {EXTENSION})")
    return found[0] if len(found) == 1 else joined(found)


def _splat_primitives(mesh: dict[str, Any]) -> list[dict[str, Any]]:
    return [primitive for primitive in mesh["primitives"] if EXTENSION in primitive.get("extensions", {})]


def _check_shape(path: Path, shape: dict[str, Any]) -> None:
    """Tells what is drawn another way than the file says: other kernels fall back to the ellipse, as the extension has
    it for readers that don't know them, and so do other colour spaces here."""
    for name in ("kernel", "colorSpace"):
        if shape.get(name, _SHAPE[name]) != _SHAPE[name]:
            told = "%s: its splats have the %s %.40s, which is taken for %s; they may look different"
            log.warning(told, path, name, shape[name], _SHAPE[name])


def _similarity(path: Path, matrix: np.ndarray) -> Similarity:
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        scale = float(lengths.mean())
        rotation = matrix[:3, :3] / scale
        straight = np.isfinite(matrix).all() and np.abs(rotation.T @ rotation - np.eye(3)).max() < _UNEVEN
        if not straight or np.linalg.det(rotation) < 0:
            raise NerfkitError(f"{path}: a node mirrors, shears or stretches its splats, which can't be followed")
    return Similarity(scale, torch.from_numpy(rotation.copy()), torch.from_numpy(matrix[:3, 3].copy()))


def _primitive(gltf: Gltf, primitive: dict[str, Any], document_from_mesh: Similarity) -> Splats:
    attributes = primitive["attributes"]
    degree = max(d for d in range(MAX_DEGREE + 1) if d == 0 or f"{EXTENSION}:SH_DEGREE_{d}_COEF_0" in attributes)
    count = natural(gltf.document["accessors"][natural(attributes["POSITION"])]["count"])
    names = [name for name in _parts(degree) if name != "COLOR_0"]
    found = {name: _accessor(gltf, attributes[name], count, _WIDTHS.get(name, 3)) for name in names}

    at_home = bool((document_from_mesh.matrix == torch.eye(4)).all())

    def decoded() -> Iterator[Gaussians]:
        for rows in blocks(count):
            means, quats, scales, opacities, *sh = (torch.from_numpy(found[name].rows(rows)) for name in names)
            stored = Gaussians(means, quats[:, [3, 0, 1, 2]], scales, opacities[:, 0], torch.stack(sh, 1))
            yield stored if at_home else transform(stored, document_from_mesh)

    return in_file(gltf.path, degree, count, decoded)


def _accessor(gltf: Gltf, index: int, count: int, width: int) -> Accessor:
    found = accessor(gltf, index)
    if (found.count, found.width) != (count, width):
        raise NerfkitError(f"{gltf.path}: damaged: accessor {index} isn't {count:,} times {width} numbers")
    return found


def write(path: Path, gaussians: Gaussians | Splats) -> int:
    """Writes a ``.glb`` of Gaussians in glTF's frame (+Y up), atomically, and gives their number; of a stream, which is
    gone through twice, one block at a time is held.

    Raises:
        NerfkitError: no Gaussians, or the file cannot be written.
    """
    splats = stream(gaussians)
    count, low, high = 0, torch.full((3,), torch.inf), torch.full((3,), -torch.inf)
    for block in splats.blocks():
        count += len(block)
        means = block.means.float()
        low, high = torch.minimum(low, means.amin(0)), torch.maximum(high, means.amax(0))
    if count == 0:
        raise NerfkitError(f"{path}: no Gaussians to write; a glTF accessor holds at least one")
    parts, layout = _parts(splats.degree), Layout()
    attributes = {name: _laid_out(layout, name, count, low, high) for name in parts}
    head = glb_head(_document(layout, attributes), layout.size)
    with atomic(path) as partial, partial.open("wb") as file:
        file.write(head)
        for rows, block in numbered(splats):
            for view, part in zip(layout.views, parts.values()):
                data = np.ascontiguousarray(part(block).numpy())
                file.seek(len(head) + view["byteOffset"] + rows.start * (view["byteLength"] // count))
                file.write(data.data)
    return count


def _laid_out(layout: Layout, name: str, count: int, low: Tensor, high: Tensor) -> int:
    color = name == "COLOR_0"
    dtype = np.dtype("<u1" if color else "<f4")
    extent = {"min": low.tolist(), "max": high.tolist()} if name == "POSITION" else {}
    return layout.accessor(dtype, count, _WIDTHS.get(name, 3), ARRAY_BUFFER, normalized=color, **extent)


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


def _document(layout: Layout, attributes: dict[str, int]) -> dict[str, Any]:
    primitive = {"attributes": attributes, "mode": _POINTS, "extensions": {EXTENSION: _SHAPE}}
    return {
        "asset": {"version": "2.0", "generator": "nerfkit"}, "extensionsUsed": [EXTENSION], "scene": 0,
        "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}], "meshes": [{"primitives": [primitive]}],
        **layout.document(),
    }  # fmt: skip
