"""What every reader of path files checks: poses, angles and numbers, with one line about what is wrong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nerfkit.errors import NerfkitError

MOST = 100_000  # keyframes: an hour of film has less
LARGEST = 1 << 30  # bytes
FARTHEST = 1e9  # units: georeferenced coordinates in millimetres are nearer
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])  # OpenGL's camera axes to OpenCV's, and back


def read_bytes(file: Path) -> bytes:
    """Raises NerfkitError: no such file, no permission, a folder, an empty or an absurdly large file."""
    if file.is_dir():
        raise NerfkitError(f"{file}: is a folder; name the file of a camera path")
    try:
        size = file.stat().st_size
        if size > LARGEST:
            raise NerfkitError(f"{file}: {size >> 20} MB is too large for a camera path; check the file")
        data = file.read_bytes()
    except OSError as error:
        raise NerfkitError(f"{file}: cannot be read ({error.strerror}); check the path") from None
    if not data.strip():
        raise NerfkitError(f"{file}: is empty; write the camera path again")
    return data


def count(file: Path, what: str, items: Any) -> list[Any]:
    """The items of a list in a file, of which there is at least one."""
    if not isinstance(items, list) or not items:
        raise NerfkitError(f"{file}: has no {what}; write the camera path again")
    if len(items) > MOST:
        raise NerfkitError(f"{file}: has {len(items)} {what}; a camera path may have {MOST}")
    return items


def number(file: Path, what: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number between two others, both left out."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if isinstance(value, bool) or not math.isfinite(found) or not low < found < high:
        bounds = f" between {low:g} and {high:g}" if math.isfinite(low) and math.isfinite(high) else ""
        bounds = bounds or (f" above {low:g}" if math.isfinite(low) else "")
        raise NerfkitError(f"{file}: {what} must be a number{bounds}, got {str(value)[:40]!r}; correct it")
    return found


def fov(file: Path, what: str, degrees: Any) -> float:
    """A field of view, in radians."""
    return math.radians(number(file, what, degrees, 0, 180))


def matrix(file: Path, what: str, values: Any) -> NDArray[np.float64]:
    """A [4, 4] of finite numbers, from nested lists of [4, 4] or [3, 4], or from their numbers row by row."""
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        found = np.zeros(0)
    if found.size == 12:
        found = np.concatenate([found.reshape(-1), [0, 0, 0, 1]])
    if found.size != 16:
        raise NerfkitError(f"{file}: {what} is no matrix of 4 rows of 4 numbers; write the camera path again")
    if not np.isfinite(found).all():
        raise NerfkitError(f"{file}: {what} has a number that is not finite; write the camera path again")
    return found.reshape(4, 4)


def rigid(file: Path, what: str, world_from_cam: NDArray[np.float64]) -> Tensor:
    """The pose [4, 4] float64 of a matrix; an even scale of its axes, as a scaled parent gives, is taken out.

    Raises:
        NerfkitError: it is mirrored or sheared, or no camera's at all.
    """
    axes = world_from_cam[:3, :3]
    u, scales, vt = np.linalg.svd(axes / max(np.abs(axes).max(), 1e-30))
    if not scales[2] > 1e-2 or scales[0] > 1.02 * scales[2] or np.abs(world_from_cam[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise NerfkitError(f"{file}: {what} is not a rotation and a translation; write camera-to-world matrices")
    if np.abs(world_from_cam[:3, 3]).max() > FARTHEST:
        raise NerfkitError(f"{file}: {what} is more than {FARTHEST:g} units from the origin; write the path again")
    if np.linalg.det(axes) < 0:
        raise NerfkitError(f"{file}: {what} is mirrored; left-handed frames must be made right-handed")
    out = torch.eye(4, dtype=torch.float64)
    out[:3, :3] = torch.from_numpy(u @ vt)
    out[:3, 3] = torch.from_numpy(world_from_cam[:3, 3])
    return out


def rising(file: Path, times: Sequence[float]) -> list[float]:
    """Times, in seconds, that begin at 0 and rise."""
    found = [time - times[0] for time in times]  # in which times that hardly differ, far from 0, may become equal
    if any(not b > a for a, b in itertools.pairwise(found)):
        raise NerfkitError(f"{file}: the times of its keyframes do not rise; sort them")
    return found
