"""Where the nodes of a glTF document put its meshes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nerfkit.data.similarity import Similarity
from nerfkit.errors import NerfkitError

_UNEVEN = 1e-3  # relative difference of the scales of two axes that is taken for rounding
_MOST_NODES = 100_000


def placed_meshes(path: Path, document: dict[str, Any]) -> Iterator[tuple[int, Similarity]]:
    """The index of each mesh that the default scene shows, and the frame of the document from the mesh's.

    Raises:
        NerfkitError: nodes that don't exist, cycles, or matrices that no similarity is.
    """
    nodes = _objects(document.get("nodes"))
    waiting = [(index, np.eye(4)) for index in _roots(document, len(nodes))]
    seen = 0
    while waiting:
        index, above = waiting.pop()
        seen += 1
        if not isinstance(index, int) or not 0 <= index < len(nodes) or seen > _MOST_NODES:
            raise NerfkitError(f"{path}: damaged: its nodes are missing or go round in circles")
        node = nodes[index]
        matrix = above @ _local(path, node)
        children = node.get("children", [])
        waiting += [(child, matrix) for child in (children if isinstance(children, list) else [])]
        if isinstance(node.get("mesh"), int):
            yield node["mesh"], _similarity(path, matrix)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item if isinstance(item, dict) else {} for item in value] if isinstance(value, list) else []


def _roots(document: dict[str, Any], count: int) -> list[Any]:
    scenes, chosen = _objects(document.get("scenes")), document.get("scene", 0)
    if scenes and isinstance(chosen, int) and 0 <= chosen < len(scenes):
        roots = scenes[chosen].get("nodes", [])
        return roots if isinstance(roots, list) else []
    return list(range(count))


def _local(path: Path, node: dict[str, Any]) -> np.ndarray:
    try:
        if "matrix" in node:
            return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
        out = np.eye(4)
        x, y, z, w = np.array(node.get("rotation", [0, 0, 0, 1]), dtype=np.float64).reshape(4)
        out[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
        out[:3, :3] *= np.array(node.get("scale", [1, 1, 1]), dtype=np.float64).reshape(3)
        out[:3, 3] = np.array(node.get("translation", [0, 0, 0]), dtype=np.float64).reshape(3)
        return out
    except (TypeError, ValueError, OverflowError):
        raise NerfkitError(f"{path}: damaged: a node has no proper matrix, rotation, scale or translation") from None


def _similarity(path: Path, matrix: np.ndarray) -> Similarity:
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(matrix[:3, :3], axis=0)
        scale = float(lengths.mean())
        rotation = matrix[:3, :3] / scale
        straight = np.isfinite(matrix).all() and np.abs(rotation.T @ rotation - np.eye(3)).max() < _UNEVEN
        if not straight or np.linalg.det(rotation) < 0:
            raise NerfkitError(f"{path}: a node mirrors, shears or stretches its splats, which can't be followed")
    return Similarity(scale, torch.from_numpy(rotation.copy()), torch.from_numpy(matrix[:3, 3].copy()))
