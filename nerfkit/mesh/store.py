"""Meshes between two stages, as files that only nerfkit reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from nerfkit.contracts import Mesh
from nerfkit.files import atomic


def save(path: Path, meshes: Sequence[Mesh]) -> None:
    """Writes meshes with all that they have to one ``.npz`` file, atomically and uncompressed."""
    arrays = {
        f"{index}.{field.name}": value
        for index, mesh in enumerate(meshes)
        for field in fields(Mesh)
        if (value := getattr(mesh, field.name)) is not None
    }
    with atomic(path) as partial:
        np.savez(partial, count=np.int64(len(meshes)), **arrays)


def load(path: Path) -> list[Mesh]:
    """Reads them again.

    Raises:
        OSError, ValueError, KeyError: no such file, or one that a full disk or a broken copy left damaged.
    """
    with np.load(path, allow_pickle=False) as file:
        return [
            Mesh(**{field.name: file[key] for field in fields(Mesh) if (key := f"{index}.{field.name}") in file.files})
            for index in range(int(file["count"]))
        ]
