"""Where the nodes of a glTF 2.0 document are (sections 3.5.2 and 3.5.3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from nerfkit.errors import NerfkitError

Array = NDArray[np.float64]
DEFAULTS = {"translation": (0.0, 0, 0), "rotation": (0.0, 0, 0, 1), "scale": (1.0, 1, 1)}
_MOST_NODES = 100_000  # that a document may name as children or of its scene, one with two parents twice


def composed(translation: Array, rotation: Array, scale: Array) -> Array:
    """Matrices [T, 4, 4] of translations [T, 3], quaternions x y z w [T, 4] and scales [T, 3]; T may be 1 of each.

    Raises:
        ValueError: a quaternion of no length.
    """
    out = np.tile(np.eye(4), (max(len(translation), len(rotation), len(scale)), 1, 1))
    out[:, :3, :3] = Rotation.from_quat(rotation).as_matrix() * scale[:, None]
    out[:, :3, 3] = translation
    return out


def local_matrix(node: dict[str, Any]) -> Array:
    """A node's own matrix [4, 4].

    Raises:
        ValueError, TypeError: it has no proper matrix, rotation, scale or translation.
    """
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T  # column by column
    parts = {name: np.array([node.get(name, default)], np.float64) for name, default in DEFAULTS.items()}
    return np.asarray(composed(**parts)[0])


def placed_nodes(path: Path, document: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Array]]:
    """Each node that the default scene shows, and the frame of the document from the node's.

    Raises:
        NerfkitError: nodes that don't exist, cycles, or no proper matrices.
    """
    nodes = _objects(document.get("nodes"))
    waiting: list[tuple[Any, Array]] = []
    named = 0

    def wait(indices: Any, above: Array) -> None:
        nonlocal named
        indices = indices if isinstance(indices, list) else []
        named += len(indices)
        if named > _MOST_NODES:
            raise NerfkitError(f"{path}: damaged: its nodes go round in circles, or are more than {_MOST_NODES:,}")
        waiting.extend((index, above) for index in indices)

    wait(_roots(document, len(nodes)), np.eye(4))
    while waiting:
        index, above = waiting.pop()
        if not isinstance(index, int) or not 0 <= index < len(nodes):
            raise NerfkitError(f"{path}: damaged: it names a node that is missing")
        node = nodes[index]
        try:
            with np.errstate(all="ignore"):  # what isn't finite is for whoever uses it to refuse
                matrix = above @ local_matrix(node)
        except (TypeError, ValueError, OverflowError):
            raise NerfkitError(
                f"{path}: damaged: a node has no proper matrix, rotation, scale or translation"
            ) from None
        wait(node.get("children"), matrix)
        yield node, matrix


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item if isinstance(item, dict) else {} for item in value] if isinstance(value, list) else []


def _roots(document: dict[str, Any], count: int) -> Any:
    """The indices of the default scene's nodes, as the document has them; of all ``count`` where it has no scene."""
    scenes, chosen = _objects(document.get("scenes")), document.get("scene", 0)
    if scenes and isinstance(chosen, int) and 0 <= chosen < len(scenes):
        return scenes[chosen].get("nodes")
    return list(range(count))
